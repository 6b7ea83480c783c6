import { join } from 'node:path'
import { createActiveStorage, hasManyAttached, hasOneAttached } from 'activestorage-delayed'
import { drizzle } from 'activestorage-delayed/drizzle'
import { disk } from 'activestorage-delayed/services/disk'
import { db, folder } from './database.ts'

export const storage = createActiveStorage({
  database: drizzle(db),
  services: { local: disk({ root: join(folder, 'storage') }) },
  models: {
    User: {
      photo: hasOneAttached({ accept: ['image/*'], maxSize: '20 MB' }),
      certificates: hasManyAttached({ maxFiles: 30, maxSize: '2 GB' }),
    },
  },
  secretKeyBase: process.env.SECRET_KEY_BASE ?? 'only for this example',
})
