// What the install scripts of packages put in place: Node itself, and the libraries of the embedded PostgreSQL.
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'

/** False after `npm ci --ignore-scripts`. */
export const installScriptsRan = existsSync(
  resolve(import.meta.dirname, '../../node_modules/node/bin/node'),
)
