import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig } from '@adonisjs/lucid'

export const folder = process.env.DATA ?? 'data'
mkdirSync(folder, { recursive: true })

export default defineConfig({
  connection: 'sqlite',
  connections: {
    sqlite: {
      client: 'better-sqlite3',
      connection: { filename: join(folder, 'app.db') },
      useNullAsDefault: true,
      migrations: { paths: ['database/migrations'] },
    },
  },
})
