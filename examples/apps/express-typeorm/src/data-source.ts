import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DataSource } from 'typeorm'
import { userSchema } from './user.ts'

export const folder = process.env.DATA ?? 'data'
mkdirSync(folder, { recursive: true })

const url = process.env.DATABASE_URL

// On SQLite TypeORM has one connection for all requests: it is for trying this out.
export const dataSource = new DataSource({
  ...(url
    ? { type: 'postgres', url }
    : { type: 'better-sqlite3', database: join(folder, 'app.db') }),
  entities: [userSchema],
  synchronize: true, // an app that is deployed has migrations
})
