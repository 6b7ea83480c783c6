import { join } from 'node:path'
import { createActiveStorage } from 'activestorage-delayed'
import { sequelize } from 'activestorage-delayed/sequelize'
import { disk } from 'activestorage-delayed/services/disk'
import { database } from './database.ts'
import { userAttachments } from './user.ts'

export const storage = createActiveStorage({
  database: sequelize(database),
  services: { local: disk({ root: join(process.env.DATA ?? 'data', 'storage') }) },
  models: { User: userAttachments },
  secretKeyBase: process.env.SECRET_KEY_BASE ?? 'only for this example',
})
