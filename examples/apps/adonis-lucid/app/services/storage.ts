import { join } from 'node:path'
import db from '@adonisjs/lucid/services/db'
import { createActiveStorage } from 'activestorage-delayed'
import { lucid } from 'activestorage-delayed/lucid'
import { disk } from 'activestorage-delayed/services/disk'
import { folder } from '#config/database'
import User, { userAttachments } from '#models/user'

export const storage = createActiveStorage({
  database: lucid(db, { models: [User] }),
  services: { local: disk({ root: join(folder, 'storage') }) },
  models: { User: userAttachments },
  secretKeyBase: process.env.SECRET_KEY_BASE ?? 'only for this example',
})
