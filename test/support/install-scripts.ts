// Results of install scripts of packages: Node itself, and libraries of the embedded PostgreSQL.
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'

/** False after `npm ci --ignore-scripts`. */
export const installScriptsRan = existsSync(
  resolve(import.meta.dirname, '../../node_modules/node/bin/node'),
)
