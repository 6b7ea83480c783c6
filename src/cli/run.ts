import { internalsOf } from '../internals.ts'
import type { ActiveStorage } from '../storage.ts'
import type { Models } from '../attached/definitions.ts'
import type { Dialect } from '../database/database.ts'
import { ActiveStorageError } from '../errors.ts'
import { endsWithin } from '../jobs/deadline.ts'
import type { Duration } from '../units.ts'
import { readArguments, usage, type Command, type Values } from './arguments.ts'
import { loadStorage, type AnyStorage } from './config.ts'
import { migrationFor, tools, type Tool } from './migration.ts'
import { forEach, type Call } from './person.ts'
import { readStatus, statusText } from './status.ts'
import { sweepableText } from './sweepable-text.ts'
import { UsageError } from './usage-error.ts'
import { readUtf8mb4Statements, utf8mb4Text } from './utf8mb4.ts'

/** Milliseconds. */
const CLOSE_TIMEOUT = 5_000

const commands: Readonly<Record<Command, (call: Call) => Promise<number>>> = {
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
    const tool = tools.find((name) => values[name] === true) as Tool
    const internals = internalsOf(storage)
    const dialect = (values.dialect ?? (await internals.store()).dialect) as Dialect
    const migration = migrationFor(tool, internals.schema(dialect))
    // Into a file it is the migration all the same.
    if (values.json === true)
      print(migration, tool === 'sql' ? { dialect, sql: migration } : { dialect, tool, migration })
    else console.log(migration)
    return 0
  },
  async work({ storage, values, print }) {
    const worker = storage.work(concurrencyOf(values))
    print('Working. SIGTERM or Ctrl+C stops it.', { working: true })
    const stopped = Promise.withResolvers<void>()
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => stopped.resolve())
    await stopped.promise
    await worker.stop(timeoutOf(values))
    print('Stopped; what was not done is given back.', { stopped: true })
    return 0
  },
  async drain({ storage, values, print }) {
    const progress = process.stderr.isTTY
      ? setInterval(() => void showProgress(storage), 1000)
      : undefined
    const result = await storage
      .drain({ ...concurrencyOf(values), ...timeoutOf(values) })
      .finally(() => clearInterval(progress))
    const { uploaded, retried, failed, remaining } = result
    print(
      `${uploaded} uploaded, ${retried} to be tried again, ${failed} failed, ${remaining} remaining.`,
      result,
    )
    return failed > 0 ? 1 : 0
  },
  async status({ storage, print }) {
    const status = await readStatus(storage)
    print(statusText(status), status)
    return 0
  },
  retry: (call) => forEach(call, 'retry'),
  discard: (call) => forEach(call, 'discard'),
  async sweep({ storage, values, print }) {
    if (values['dry-run'] === true) {
      const found = await internalsOf(storage).sweepable()
      print(sweepableText(found), { dryRun: true, ...found })
      return 0
    }
    await storage.sweep()
    print('Swept.', { swept: true })
    return 0
  },
  async reconcile({ storage, values, print }) {
    const dryRun = values['dry-run'] === true
    const olderThan = values['older-than'] as Duration | undefined
    const { removed } = await storage.reconcile({
      dryRun,
      ...(olderThan === undefined ? {} : { olderThan }),
    })
    const records = removed === 1 ? '1 record is gone' : `${removed} records are gone`
    print(
      `${records}; what ${removed === 1 ? 'it' : 'they'} left ${dryRun ? 'is still there' : 'was removed'}.`,
      { removed, dryRun },
    )
    return 0
  },
}

async function showProgress(storage: AnyStorage): Promise<void> {
  const { pending, running, failed } = await storage.delayedUploads.stats()
  process.stderr.write(`\r${pending} pending, ${running} running, ${failed} failed   `)
}

function concurrencyOf({ concurrency }: Values): { concurrency?: number } {
  return concurrency === undefined ? {} : { concurrency: Number(concurrency) }
}

function timeoutOf({ timeout }: Values): { timeout?: Duration } {
  return timeout === undefined ? {} : { timeout: timeout as Duration }
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
    const typed = readArguments(argv)
    if (typed === null || typed.values.help === true) {
      console.log(usage)
      return typed === null ? 2 : 0
    }
    const { name, ids, values } = typed
    opened =
      (storage as AnyStorage | undefined) ?? (await loadStorage(values.config, process.cwd()))
    const json = values.json === true || !process.stdout.isTTY
    return await commands[name]({
      storage: opened,
      ids,
      values,
      print: (text, value) => console.log(json ? JSON.stringify(value) : text),
    })
  } catch (error) {
    if (error instanceof UsageError || error instanceof ActiveStorageError)
      console.error(error.message)
    else console.error(error)
    return error instanceof UsageError ? 2 : 1
  } finally {
    // The exit code is known: a connection that does not end must not keep it.
    await endsWithin(opened?.close() ?? Promise.resolve(), CLOSE_TIMEOUT).catch((error: unknown) =>
      console.error(error),
    )
  }
}
