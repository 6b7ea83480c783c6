// Runs node's own test runner over the project; arguments name single files.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import {
  answersPostgres,
  POSTGRES_URL,
  startEmbeddedPostgres,
} from '../test/support/embedded-postgres.ts'
import { installScriptsRan } from '../test/support/install-scripts.ts'
import { answersRedis } from '../test/support/redis.ts'
import { requiredServices } from '../test/support/required-services.ts'

const given = process.argv.slice(2)
const files = given.length > 0 ? given : globSync(['src/**/*.test.ts', 'test/**/*.test.ts'])
if (!installScriptsRan)
  console.log(
    `Install scripts did not run: the tests use this machine's Node ${process.version}, and can bring up no PostgreSQL. "npm ci" runs them.`,
  )
if (requiredServices().includes('redis') && !(await answersRedis()))
  throw new Error('TEST_REQUIRE names redis, and none answered at TEST_REDIS_URL.')

// One server for all files: each process would start its own.
const embedded = (await answersPostgres(POSTGRES_URL)) ? null : await startEmbeddedPostgres()
// Half of a test is waiting for a database or a browser.
const runner = spawn(
  process.execPath,
  ['--test', `--test-concurrency=${2 * availableParallelism()}`, '--test-timeout=240000', ...files],
  {
    stdio: 'inherit',
    env: {
      // Hundreds of processes load the same modules.
      NODE_COMPILE_CACHE: resolve('node_modules/.cache/node'),
      ...process.env,
      ...(embedded === null ? {} : { TEST_POSTGRES_URL: embedded.url }),
    },
  },
)
const forward = (signal: NodeJS.Signals): void => void runner.kill(signal)
process.on('SIGINT', forward).on('SIGTERM', forward)
const [code] = (await once(runner, 'exit')) as [number | null]
await embedded?.stop()
process.exit(code ?? 1)
