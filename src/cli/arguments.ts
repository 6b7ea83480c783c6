import { parseArgs } from 'node:util'
import { messageOf } from '../errors/message.ts'
import { parseDuration, type Duration } from '../options/units.ts'
import { migrationTools, type MigrationTool } from './migration.ts'
import { UsageError } from './usage-error.ts'

export const usageText: string = `activestorage-delayed <command>

  migrate              makes or completes the tables
                       [--print-utf8mb4: only prints what widens old text columns on MySQL and MariaDB, and changes nothing]
  generate --<tool>    prints the tables as a migration of yours, as SQL: --sql --prisma --drizzle, as code: --knex --kysely
                       --lucid --mikro-orm --sequelize --typeorm   [--dialect postgres|mysql|mariadb|sqlite]
  work                 uploads until SIGTERM      [--concurrency 5] [--timeout 25s]
  drain                uploads what is due, then ends; 1 if something failed   [--concurrency 5] [--timeout 10m]
  status               what waits, what failed and why, which workers live
  retry <id …>         tries failed uploads again [--failed: all of them]   [--dry-run]
  discard <id …>       gives uploads up, with their bytes [--failed: all failed ones, asked for on a terminal; --yes elsewhere]
                       [--dry-run]
  sweep                puts right what crashes left behind   [--dry-run]
  reconcile            removes what records left that were deleted past their hooks   [--dry-run] [--older-than 1h]

  --config <file>      exports the storage; default activestorage.config.ts (or .js)
  --json               JSON also on a terminal
  --dry-run            only says what would be done
  --concurrency <n>    pieces of work at once; default 5
  --timeout <time>     of work: how long what runs at SIGTERM may go on, default 25s;
                       of drain: when it ends whatever is left, default never. What is not done is given back.`

const optionTypes = {
  config: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  ...(Object.fromEntries(migrationTools.map((tool) => [tool, { type: 'boolean' }])) as Record<
    MigrationTool,
    { type: 'boolean' }
  >),
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

/** What each command takes beside `--config`, `--json` and `--help`. */
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

export type Command =
  'migrate' | 'generate' | 'work' | 'drain' | 'status' | 'retry' | 'discard' | 'sweep' | 'reconcile'
export type OptionValues = { readonly [F in Flag]?: boolean | undefined } & {
  readonly [V in ValueOption]?: string | undefined
}
export interface CommandLine {
  readonly name: Command
  readonly ids: readonly string[]
  readonly values: OptionValues
}

/**
 * What was typed, checked as far as it can be before anything is opened. null: nothing. An option that the command does not have
 * ends it: somebody expects something of it, such as `--dry-run`. Throws UsageError, whose message is one line.
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
  if (name === undefined || !Object.hasOwn(commandOptions, name)) {
    const what = name === undefined ? 'No command was given' : `There is no command '${name}'`
    throw new UsageError(
      `${what}: say one of ${Object.keys(commandOptions).join(', ')}, or --help.`,
    )
  }
  const known: readonly string[] = [...commandOptions[name as Command], ...globalOptions]
  const foreign = given.find((option) => !known.includes(option))
  if (foreign !== undefined)
    throw new UsageError(
      `${name} has no option --${foreign}, and nothing was done. It has ${known.map((option) => `--${option}`).join(', ')}.`,
    )
  const values = parseValues(argv)
  checkValues(name as Command, ids, values)
  return { name: name as Command, ids, values }
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
    // `discard --failed 12` reads as 'the failed one, 12': taking all the others too would lose their files.
    if (words.length > 0 && values.failed === true)
      throw new UsageError(
        `${name} takes ids, or --failed, which means all that have failed: not both.`,
      )
    if (
      name === 'discard' &&
      values.failed === true &&
      values.yes !== true &&
      values['dry-run'] !== true &&
      process.stdin.isTTY !== true
    )
      throw new UsageError(
        'discard --failed deletes files for good, and nobody can be asked here: add --yes, or --dry-run to see them.',
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
