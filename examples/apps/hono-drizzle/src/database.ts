import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'

export const folder = process.env.DATA ?? 'data'
mkdirSync(folder, { recursive: true })

export const db = drizzle(join(folder, 'app.db'))
db.run(sql`pragma journal_mode = wal`)
db.run(sql`pragma synchronous = full`) // what is committed survives a power cut too

/** `drizzle-kit` does it in an app that is deployed. */
export function createTables(): void {
  db.run(sql`create table if not exists users (id integer primary key, name text not null)`)
}
