import { join } from 'node:path'
import type { MikroORM } from '@mikro-orm/core'
import { createActiveStorage } from 'activestorage-delayed'
import { mikroOrm } from 'activestorage-delayed/mikro-orm'
import { disk } from 'activestorage-delayed/services/disk'
import { folder } from './mikro-orm.config.js'
import { userAttachments } from './users/user.entity.js'

export const createStorage = (orm: MikroORM) =>
  createActiveStorage({
    database: mikroOrm(orm),
    services: { local: disk({ root: join(folder, 'storage') }) },
    models: { User: userAttachments },
    secretKeyBase: process.env.SECRET_KEY_BASE ?? 'only for this example',
  })
