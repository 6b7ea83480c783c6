import { join } from 'node:path'
import { createActiveStorage } from 'activestorage-delayed'
import { disk } from 'activestorage-delayed/services/disk'
import { typeorm } from 'activestorage-delayed/typeorm'
import { dataSource, folder } from './data-source.ts'
import { userAttachments } from './user.ts'

export const storage = createActiveStorage({
  database: typeorm(dataSource),
  services: { local: disk({ root: join(folder, 'storage') }) },
  models: { User: userAttachments },
  secretKeyBase: process.env.SECRET_KEY_BASE ?? 'only for this example',
})
