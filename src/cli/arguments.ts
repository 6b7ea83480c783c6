import { parseArgs } from 'node:util'
import { messageOf } from '../errors/message.ts'
import { parseDuration, type Duration } from '../options/units.ts'
import { migrationTools, type MigrationTool } from './migration.ts'
import { UsageError } from './usage-error.ts'

/** The help text. */
export const usageText: string = `activestorage-delayed <command>

  migrate              creates the tables, or adds what is missing
                       [--print-utf8mb4: only prints the SQL that widens old text columns on MySQL and MariaDB]
  generate --<tool>    prints the tables as a migration, as SQL: --sql --prisma --drizzle, as code: --knex --kysely
                       --lucid --mikro-orm --sequelize --typeorm   [--dialect postgres|mysql|mariadb|sqlite]
  work                 runs a worker until SIGTERM      [--concurrency 5] [--timeout 25s]
  drain                runs all work that is due, then ends; 1 if something failed   [--concurrency 5] [--timeout 10m]
  status               pending and failed uploads, workers, jobs, outages
  retry <id …>         retries failed uploads [--failed: all of them]   [--dry-run]
  discard <id …>       deletes uploads with their files [--failed: all failed ones; asks on a terminal, needs --yes elsewhere]
                       [--dry-run]
  sweep                repairs what crashes left behind   [--dry-run]
  reconcile            purges the files of records that were deleted without their hooks   [--dry-run] [--older-than 1h]

  --config <file>      the file that exports the storage; default activestorage.config.ts (or .js)
  --json               prints JSON on a terminal too
  --dry-run            only prints what would be done
  --concurrency <n>    pieces of work at once; default 5
  --timeout <time>     work: how long running work may go on after SIGTERM, default 25s;
                       drain: when to end, default never. Work that is not done is released.`

const optionTypes = {
  config: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  sql: { type: 'boolean' },
  prisma: { type: 'boolean' },
  drizzle: { type: 'boolean' },
  knex: { type: 'boolean' },
  kysely: { type: 'boolean' },
  lucid: { type: 'boolean' },
  'mikro-orm': { type: 'boolean' },
  sequelize: { type: 'boolean' },
  typeorm: { type: 'boolean' },
  'print-utf8mb4': { type: 'boolean' },
  dialect: { type: 'string' },
  concurrency: { type: 'string' },
  timeout: { type: 'string' },
  failed: { type: 'boolean' },
  yes: { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  'older-than': { type: 'string' },
} as const
type Flag = MigrationTool | 'json' | 'help' | 'print-utf8mb4' | 'failed' | 'yes' | 'dry-run'
type ValueOption = 'config' | 'dialect' | 'concurrency' | 'timeout' | 'older-than'

/** The options of each command, beside `--config`, `--json` and `--help`. */
const commandOptions: Readonly<Record<Command, readonly (Flag | ValueOption)[]>> = {
  migrate: ['print-utf8mb4'],
  generate: [...migrationTools, 'dialect'],
  work: ['concurrency', 'timeout'],
  drain: ['concurrency', 'timeout'],
  status: [],
  retry: ['failed', 'dry-run'],
  discard: ['failed', 'dry-run', 'yes'],
  sweep: ['dry-run'],
  reconcile: ['dry-run', 'older-than'],
}
const globalOptions: readonly string[] = ['config', 'json', 'help']

/** The names of the commands. */
export type Command =
  'migrate' | 'generate' | 'work' | 'drain' | 'status' | 'retry' | 'discard' | 'sweep' | 'reconcile'
/** The options that were given. */
export type OptionValues = { readonly [F in Flag]?: boolean | undefined } & {
  readonly [V in ValueOption]?: string | undefined
}
/** A command line that was read. */
export interface CommandLine {
  readonly name: Command
  readonly ids: readonly string[]
  readonly values: OptionValues
}

/**
 * Reads and checks the command line before anything is opened. null: it is empty. An unknown option
 * is an error, because its user expects an effect, such as that of `--dry-run`. Throws UsageError,
 * whose message is one line.
 */
export function readArguments(argv: readonly string[]): CommandLine | null {
  const { positionals, tokens } = parseArgs({
    args: [...argv],
    options: optionTypes,
    allowPositionals: true,
    strict: false,
    tokens: true,
  })
  const [name, ...ids] = positionals
  const given = tokens.flatMap((token) => (token.kind === 'option' ? [token.name] : []))
  if (name === undefined && given.length === 0) return null
  if (name === undefined && given.every((option) => option === 'help'))
    return { name: 'status', ids, values: { help: true } }
  if (name === undefined || !isCommand(name)) {
    const what = name === undefined ? 'No command was given' : `There is no command '${name}'`
    throw new UsageError(
      `${what}: give one of ${Object.keys(commandOptions).join(', ')}, or --help.`,
    )
  }
  const known: readonly string[] = [...commandOptions[name], ...globalOptions]
  const foreign = given.find((option) => !known.includes(option))
  if (foreign !== undefined)
    throw new UsageError(
      `${name} has no option --${foreign}, and nothing was done. Its options are ${known.map((option) => `--${option}`).join(', ')}.`,
    )
  const values = parseValues(argv)
  checkValues(name, ids, values)
  return { name, ids, values }
}

function isCommand(name: string): name is Command {
  return Object.hasOwn(commandOptions, name)
}

function parseValues(argv: readonly string[]): OptionValues {
  try {
    return parseArgs({ args: [...argv], options: optionTypes, allowPositionals: true }).values
  } catch (error) {
    throw new UsageError(messageOf(error).replaceAll(/\s+/g, ' '))
  }
}

function checkValues(name: Command, words: readonly string[], values: OptionValues): void {
  const { concurrency, dialect } = values
  if (values.help === true) return
  if (name === 'retry' || name === 'discard') {
    if (words.length === 0 && values.failed !== true)
      throw new UsageError(`${name} takes the ids of uploads (see status), or --failed.`)
    // `discard --failed 12` may mean only the upload 12: discarding all failed ones would lose
    // their files.
    if (words.length > 0 && values.failed === true)
      throw new UsageError(
        `${name} takes ids, or --failed, which means all failed uploads: not both.`,
      )
    if (
      name === 'discard' &&
      values.failed === true &&
      values.yes !== true &&
      values['dry-run'] !== true &&
      process.stdin.isTTY !== true
    )
      throw new UsageError(
        'discard --failed deletes files for good, and cannot ask here: add --yes, or --dry-run to see them.',
      )
  } else if (words.length > 0) throw new UsageError(`${name} takes no '${words.join(' ')}'.`)
  if (
    concurrency !== undefined &&
    !(/^[1-9]\d*$/.test(concurrency) && Number.isSafeInteger(Number(concurrency)))
  )
    throw new UsageError(`--concurrency is '${concurrency}': give a whole number above 0.`)
  for (const option of ['timeout', 'older-than'] as const)
    checkDuration(values[option], `--${option}`)
  if (dialect !== undefined && !['postgres', 'mysql', 'mariadb', 'sqlite'].includes(dialect))
    throw new UsageError(
      `There is no dialect '${dialect}': give postgres, mysql, mariadb or sqlite.`,
    )
  if (name === 'generate' && migrationTools.filter((tool) => values[tool] === true).length !== 1)
    throw new UsageError(
      `generate takes one of ${migrationTools.map((tool) => `--${tool}`).join(', ')}.`,
    )
}

function checkDuration(given: string | undefined, option: string): void {
  try {
    if (given !== undefined) parseDuration(given as Duration, option)
  } catch (error) {
    throw new UsageError(messageOf(error))
  }
}
