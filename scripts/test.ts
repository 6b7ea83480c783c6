// Runs node's own test runner over the project; arguments name single files.
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { installScriptsRan } from '../test/support/install-scripts.ts'

const given = process.argv.slice(2)
const files = given.length > 0 ? given : globSync(['src/**/*.test.ts', 'test/**/*.test.ts'])
if (!installScriptsRan)
  console.log(
    `Install scripts did not run: the tests use this machine's Node ${process.version}, and can bring up no PostgreSQL. "npm ci" runs them.`,
  )
// Half of a test is waiting for a database or a browser.
const { status } = spawnSync(
  process.execPath,
  ['--test', `--test-concurrency=${2 * availableParallelism()}`, '--test-timeout=240000', ...files],
  {
    stdio: 'inherit',
    // Hundreds of processes load the same modules.
    env: { NODE_COMPILE_CACHE: resolve('node_modules/.cache/node'), ...process.env },
  },
)
process.exitCode = status ?? 1
