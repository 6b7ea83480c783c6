import { parseArgs } from 'node:util'
import { internalsOf } from '../internals.ts'
import type { ActiveStorage } from '../storage.ts'
import type { Models } from '../attached/definitions.ts'
import type { Dialect } from '../database/database.ts'
import { ActiveStorageError } from '../errors.ts'
import { endsWithin } from '../jobs/deadline.ts'
import { messageOf } from '../message.ts'
import { parseDuration, type Duration } from '../units.ts'
import { loadStorage, type AnyStorage } from './config.ts'
import { migrationFor, tools, type Tool } from './migration.ts'
import { readStatus, statusText } from './status.ts'
import { UsageError } from './usage-error.ts'
import { readUtf8mb4Statements, utf8mb4Text } from './utf8mb4.ts'

const usage = `activestorage-delayed <command>

  migrate              makes or completes the tables
                       [--print-utf8mb4: only prints what widens old text columns on MySQL and MariaDB, and changes nothing]
  generate --<tool>    prints the tables as a migration of yours, as SQL: --sql --prisma --drizzle, as code: --knex --kysely
                       --lucid --mikro-orm --sequelize --typeorm   [--dialect postgres|mysql|mariadb|sqlite]
  work                 uploads until SIGTERM      [--concurrency 5] [--timeout 25s]
  drain                uploads what is due, then ends; 1 if something failed   [--concurrency 5] [--timeout 10m]
  status               what waits, what failed and why, which workers live
  retry <id …>         tries failed uploads again [--failed: all of them]
  discard <id …>       gives uploads up, with their bytes [--failed: all failed ones]
  sweep                puts right what crashes left behind
  reconcile            removes what records left that were deleted past their hooks   [--dry-run] [--older-than 1h]

  --config <file>      exports the storage; default activestorage.config.ts (or .js)
  --json               JSON also on a terminal
  --concurrency <n>    pieces of work at once; default 5
  --timeout <time>     of work: how long what runs at SIGTERM may go on, default 25s;
                       of drain: when it ends whatever is left, default never. What is not done is given back.`

/** Milliseconds. */
const CLOSE_TIMEOUT = 5_000

const options = {
  config: { type: 'string' },
  json: { type: 'boolean' },
  ...(Object.fromEntries(tools.map((tool) => [tool, { type: 'boolean' }])) as Record<Tool, { type: 'boolean' }>),
  'print-utf8mb4': { type: 'boolean' },
  dialect: { type: 'string' },
  concurrency: { type: 'string' },
  timeout: { type: 'string' },
  failed: { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  'older-than': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const

interface Call {
  readonly storage: AnyStorage
  readonly ids: readonly string[]
  readonly values: { readonly [T in Tool]?: boolean | undefined } & {
    readonly json?: boolean | undefined
    readonly 'print-utf8mb4'?: boolean | undefined
    readonly dialect?: string | undefined
    readonly concurrency?: string | undefined
    readonly timeout?: string | undefined
    readonly failed?: boolean | undefined
    readonly 'dry-run'?: boolean | undefined
    readonly 'older-than'?: string | undefined
  }
  /** Text on a terminal, JSON elsewhere. */
  print(text: string, value: unknown): void
}

const commands: Readonly<Record<string, (call: Call) => Promise<number>>> = {
  async migrate({ storage, values, print }) {
    if (values['print-utf8mb4'] === true) {
      const statements = await readUtf8mb4Statements(storage)
      // Into a file it is SQL all the same.
      if (values.json === true) print('', { statements })
      else console.log(utf8mb4Text(statements))
      return 0
    }
    await storage.migrate()
    print('The tables are complete.', { migrated: true })
    return 0
  },
  async generate({ storage, values, print }) {
    const [tool, ...others] = tools.filter((name) => values[name] === true)
    if (tool === undefined || others.length > 0)
      throw new UsageError(`generate takes one of ${tools.map((name) => `--${name}`).join(', ')}.`)
    const internals = internalsOf(storage)
    const dialect = (values.dialect ?? (await internals?.store())?.dialect) as Dialect
    if (!['postgres', 'mysql', 'mariadb', 'sqlite'].includes(dialect)) throw new UsageError(`There is no dialect '${dialect}'.`)
    const migration = internals === null ? '' : migrationFor(tool, internals.schema(dialect))
    // Into a file it is the migration all the same.
    if (values.json === true) print(migration, tool === 'sql' ? { dialect, sql: migration } : { dialect, tool, migration })
    else console.log(migration)
    return 0
  },
  async work({ storage, values, print }) {
    const worker = storage.work(concurrencyOf(values))
    print('Working. SIGTERM or Ctrl+C stops it.', { working: true })
    const stopped = Promise.withResolvers<void>()
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopped.resolve())
    await stopped.promise
    await worker.stop(timeoutOf(values))
    print('Stopped; what was not done is given back.', { stopped: true })
    return 0
  },
  async drain({ storage, values, print }) {
    const progress = process.stderr.isTTY ? setInterval(() => void showProgress(storage), 1000) : undefined
    const result = await storage.drain({ ...concurrencyOf(values), ...timeoutOf(values) }).finally(() => clearInterval(progress))
    const { uploaded, retried, failed, remaining } = result
    print(`${uploaded} uploaded, ${retried} to be tried again, ${failed} failed, ${remaining} remaining.`, result)
    return failed > 0 ? 1 : 0
  },
  async status({ storage, print }) {
    const status = await readStatus(storage)
    print(statusText(status), status)
    return 0
  },
  retry: (call) => forEach(call, 'retry'),
  discard: (call) => forEach(call, 'discard'),
  async sweep({ storage, print }) {
    await storage.sweep()
    print('Swept.', { swept: true })
    return 0
  },
  async reconcile({ storage, values, print }) {
    const dryRun = values['dry-run'] === true
    const olderThan = values['older-than'] as Duration | undefined
    const { removed } = await storage.reconcile({ dryRun, ...(olderThan === undefined ? {} : { olderThan }) })
    const records = removed === 1 ? '1 record is gone' : `${removed} records are gone`
    print(`${records}; what ${removed === 1 ? 'it' : 'they'} left ${dryRun ? 'is still there' : 'was removed'}.`, { removed, dryRun })
    return 0
  },
}

async function forEach({ storage, ids, values, print }: Call, verb: 'retry' | 'discard'): Promise<number> {
  if (ids.length === 0 && values.failed !== true) throw new UsageError(`${verb} takes the ids of uploads (see status), or --failed.`)
  const done: string[] = []
  const missing: string[] = []
  const unchanged: string[] = []
  const told: string[] = []
  for (const id of ids) {
    const upload = await storage.delayedUploads.find(id)
    if (upload === null) {
      missing.push(id)
      told.push(`There is no upload ${id}.`)
    } else if (verb === 'retry' && upload.state !== 'failed') {
      unchanged.push(id)
      told.push(`The upload ${id} has not failed, it is ${upload.state}: nothing to do.`)
    } else {
      await upload[verb]()
      done.push(id)
    }
  }
  for (let after: string | undefined; values.failed === true;) {
    const page = await storage.delayedUploads.list({ state: 'failed', limit: 100, ...(after === undefined ? {} : { after }) })
    for (const upload of page) {
      await upload[verb]()
      done.push(upload.id)
    }
    after = page.at(-1)?.id
    if (after === undefined) break
  }
  const count = done.length === 1 ? '1 upload is' : `${done.length} uploads are`
  print([`${count} ${verb === 'retry' ? 'tried again' : 'given up'}.`, ...told].join('\n'), { done, missing, unchanged })
  return missing.length > 0 ? 1 : 0
}

async function showProgress(storage: AnyStorage): Promise<void> {
  const { pending, running, failed } = await storage.delayedUploads.stats()
  process.stderr.write(`\r${pending} pending, ${running} running, ${failed} failed   `)
}

function concurrencyOf({ concurrency }: Call['values']): { concurrency?: number } {
  return concurrency === undefined ? {} : { concurrency: Number(concurrency) }
}

function timeoutOf({ timeout }: Call['values']): { timeout?: Duration } {
  return timeout === undefined ? {} : { timeout: timeout as Duration }
}

/** What can be told before the storage is opened. */
function check(name: string, words: readonly string[], { concurrency, timeout }: Call['values']): void {
  if (words.length > 0 && name !== 'retry' && name !== 'discard') throw new UsageError(`${name} takes no '${words.join(' ')}'.`)
  if (concurrency !== undefined && !/^[1-9]\d*$/.test(concurrency))
    throw new UsageError(`--concurrency is '${concurrency}': give a whole number above 0.`)
  try {
    if (timeout !== undefined) parseDuration(timeout as Duration, '--timeout')
  } catch (error) {
    throw new UsageError(messageOf(error))
  }
}

/**
 * The command line. Without `storage` it is read from `activestorage.config.ts`. Resolves to the exit code: 0 done, 1 it
 * failed or something failed in it, 2 it was typed wrongly.
 *
 * @example
 * import { run } from 'activestorage-delayed/cli'
 * import { storage } from './storage.ts'
 *
 * process.exit(await run(storage)) // an app's own pool would keep the process
 */
export async function run<M extends Models, Tx>(
  storage?: ActiveStorage<M, Tx>,
  argv: readonly string[] = process.argv.slice(2),
): Promise<number> {
  let opened: AnyStorage | undefined
  try {
    const { values, positionals } = parse(argv)
    const [name, ...ids] = positionals
    if (values.help === true || name === undefined) {
      console.log(usage)
      return values.help === true ? 0 : 2
    }
    const command = commands[name]
    if (command === undefined) throw new UsageError(`There is no command '${name}'.`)
    check(name, ids, values)
    opened = (storage as AnyStorage | undefined) ?? (await loadStorage(values.config, process.cwd()))
    const json = values.json === true || !process.stdout.isTTY
    return await command({ storage: opened, ids, values, print: (text, value) => console.log(json ? JSON.stringify(value) : text) })
  } catch (error) {
    if (error instanceof UsageError) console.error(`${error.message}\n\n${usage}`)
    else if (error instanceof ActiveStorageError) console.error(error.message)
    else console.error(error)
    return error instanceof UsageError ? 2 : 1
  } finally {
    // The exit code is known: a connection that does not end must not keep it.
    await endsWithin(opened?.close() ?? Promise.resolve(), CLOSE_TIMEOUT).catch((error: unknown) => console.error(error))
  }
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true })
  } catch (error) {
    throw new UsageError(messageOf(error))
  }
}
