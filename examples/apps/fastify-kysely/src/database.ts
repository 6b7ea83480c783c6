import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { Kysely, SqliteDialect, type Generated } from 'kysely'

export const folder = process.env.DATA ?? 'data'
mkdirSync(folder, { recursive: true })

interface Tables {
  users: { id: Generated<number>; name: string }
}

const sqlite = new Sqlite(join(folder, 'app.db'))
sqlite.pragma('journal_mode = WAL')
sqlite.pragma('synchronous = FULL') // what is committed survives a power cut too

export const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: sqlite }) })

export async function createTables(): Promise<void> {
  await db.schema
    .createTable('users')
    .ifNotExists()
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('name', 'text', (column) => column.notNull())
    .execute()
}
