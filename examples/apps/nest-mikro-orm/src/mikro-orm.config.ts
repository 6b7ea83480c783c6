import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ReflectMetadataProvider } from '@mikro-orm/decorators/legacy'
import { defineConfig } from '@mikro-orm/sqlite'
import { User } from './users/user.entity.js'

export const folder = process.env.DATA ?? 'data'
mkdirSync(folder, { recursive: true })

export default defineConfig({
  dbName: join(folder, 'app.db'),
  entities: [User],
  metadataProvider: ReflectMetadataProvider,
  // The library's tables are its own: without this, MikroORM would drop them.
  schemaGenerator: { skipTables: [/^active_?storage_/] },
})
