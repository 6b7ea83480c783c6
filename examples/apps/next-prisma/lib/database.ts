// SQLite is for one user: PostgreSQL where DATABASE_URL is set, when the app is built and when it is started.
import { mkdirSync } from 'node:fs'

export const folder = process.env.DATA ?? 'data'
mkdirSync(folder, { recursive: true })

export const url = process.env.DATABASE_URL || `file:${folder}/app.db`
export const provider = process.env.DATABASE_URL ? 'postgresql' : 'sqlite'
