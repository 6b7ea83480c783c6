import { getInternals } from '../storage/internals.ts'
import type { ActiveStorage } from '../storage/active-storage.ts'
import type { Models } from '../attached/definitions.ts'
import type { Dialect } from '../database/database.ts'
import { ActiveStorageError } from '../errors/errors.ts'
import { endsWithin } from '../async/deadline.ts'
import type { Duration } from '../options/units.ts'
import { readArguments, usageText, type Command, type OptionValues } from './arguments.ts'
import { loadStorage, type CommandStorage } from './config.ts'
import { formatMigration, migrationTools } from './migration.ts'
import { retryOrDiscard, type CommandCall } from './retry-and-discard.ts'
import { formatStatus } from './format-status.ts'
import { formatSweepable } from './format-sweepable.ts'
import { UsageError } from './usage-error.ts'
import { readUtf8mb4Statements, formatUtf8mb4Statements } from './utf8mb4.ts'

const CLOSE_TIMEOUT_MS = 5_000

const commands: Readonly<Record<Command, (call: CommandCall) => Promise<number>>> = {
  async migrate({ storage, values, print }) {
    if (values['print-utf8mb4'] === true) {
      const statements = await readUtf8mb4Statements(storage)
      // The output is SQL also when it goes to a file, unless JSON is asked for.
      if (values.json === true) print('', { statements })
      else console.log(formatUtf8mb4Statements(statements))
      return 0
    }
    await storage.migrate()
    print('The tables are complete.', { migrated: true })
    return 0
  },
  async generate({ storage, values, print }) {
    const tool = migrationTools.find((name) => values[name] === true) ?? 'sql'
    const internals = getInternals(storage)
    const dialect = (values.dialect ?? (await internals.openStore()).dialect) as Dialect
    const migration = formatMigration(tool, internals.readSchema(dialect))
    // The output is the migration also when it goes to a file, unless JSON is asked for.
    if (values.json === true)
      print(migration, tool === 'sql' ? { dialect, sql: migration } : { dialect, tool, migration })
    else console.log(migration)
    return 0
  },
  async work({ storage, values, print }) {
    const worker = storage.work(readConcurrencyOption(values))
    print('Working. SIGTERM or Ctrl+C stops it.', { working: true })
    const stopped = Promise.withResolvers<void>()
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => stopped.resolve())
    await stopped.promise
    await worker.stop(readTimeoutOption(values))
    print('Stopped. Work that was not done is released.', { stopped: true })
    return 0
  },
  async drain({ storage, values, print }) {
    const progress = process.stderr.isTTY
      ? setInterval(() => void showProgress(storage), 1000)
      : undefined
    const result = await storage
      .drain({ ...readConcurrencyOption(values), ...readTimeoutOption(values) })
      .finally(() => clearInterval(progress))
    const { uploaded, retried, failed, remaining } = result
    print(
      `${uploaded} uploaded, ${retried} to be retried, ${failed} failed, ${remaining} remaining.`,
      result,
    )
    return failed > 0 ? 1 : 0
  },
  async status({ storage, print }) {
    const status = await storage.status()
    print(formatStatus(status), status)
    return 0
  },
  retry: (call) => retryOrDiscard(call, 'retry'),
  discard: (call) => retryOrDiscard(call, 'discard'),
  async sweep({ storage, values, print }) {
    if (values['dry-run'] === true) {
      const found = await getInternals(storage).countSweepable()
      print(formatSweepable(found), { dryRun: true, ...found })
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

async function showProgress(storage: CommandStorage): Promise<void> {
  const { pending, running, failed } = await storage.delayedUploads.stats()
  process.stderr.write(`\r${pending} pending, ${running} running, ${failed} failed   `)
}

function readConcurrencyOption({ concurrency }: OptionValues): { concurrency?: number } {
  return concurrency === undefined ? {} : { concurrency: Number(concurrency) }
}

function readTimeoutOption({ timeout }: OptionValues): { timeout?: Duration } {
  return timeout === undefined ? {} : { timeout: timeout as Duration }
}

/**
 * Runs the command line. Without `storage` it is loaded from `activestorage.config.ts`. Resolves to
 * the exit code: 0 done, 1 the command or a part of it failed, 2 the command line was wrong.
 *
 * @example
 * import { run } from 'activestorage-delayed/cli'
 * import { storage } from './storage.ts'
 *
 * process.exit(await run(storage)) // an open pool of the app would keep the process alive
 */
export async function run<M extends Models, Tx>(
  storage?: ActiveStorage<M, Tx>,
  argv: readonly string[] = process.argv.slice(2),
): Promise<number> {
  let opened: CommandStorage | undefined
  try {
    const commandLine = readArguments(argv)
    if (commandLine === null || commandLine.values.help === true) {
      console.log(usageText)
      return commandLine === null ? 2 : 0
    }
    const { name, ids, values } = commandLine
    opened =
      (storage as CommandStorage | undefined) ?? (await loadStorage(values.config, process.cwd()))
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
    // The exit code is known: a connection that does not close must not delay it.
    await endsWithin(opened?.close() ?? Promise.resolve(), CLOSE_TIMEOUT_MS).catch(
      (error: unknown) => console.error(error),
    )
  }
}
