import { types } from 'node:util'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { isStorage } from '../storage/internals.ts'
import type { ActiveStorage } from '../storage/active-storage.ts'
import type { Models } from '../attached/definitions.ts'
import { ConfigurationError } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'
import { UsageError } from './usage-error.ts'

/** A storage of any app. */
export type CommandStorage = ActiveStorage<Models, never>

const configFileNames = [
  'activestorage.config.ts',
  'activestorage.config.mts',
  'activestorage.config.js',
  'activestorage.config.mjs',
]

/**
 * Loads the storage that a configuration file exports, as `storage` or by default. Throws
 * ConfigurationError, or UsageError for a missing file.
 */
export async function loadStorage(
  path: string | undefined,
  folder: string,
): Promise<CommandStorage> {
  const file = path ?? configFileNames.find((name) => existsSync(resolve(folder, name)))
  if (file === undefined)
    throw new ConfigurationError(
      `There is no ${configFileNames[0]} in this folder. Pass --config <file>, or run from the app's folder.`,
    )
  if (!existsSync(resolve(folder, file)))
    throw new UsageError(`There is no file ${resolve(folder, file)}.`)
  const module: Record<string, unknown> = await import(
    pathToFileURL(resolve(folder, file)).href
  ).catch((error: unknown) => {
    const reason = messageOf(error).replace(/\.$/, '')
    throw new ConfigurationError(`${file} could not be loaded: ${reason}.${adviseOn(error)}`, {
      cause: error,
    })
  })
  for (const found of [module['storage'], module['default']]) if (isStorage(found)) return found
  throw new ConfigurationError(
    `${file} exports no storage: export const storage = createActiveStorage({ … }).`,
  )
}

/** Returns what to do about a file that Node cannot read; '' for an error that its code threw. */
function adviseOn(error: unknown): string {
  if (isCommonJsError(error))
    return ' Its package.json makes it CommonJS: name it activestorage.config.mts, or set "type": "module" there.'
  return isUnreadableModule(error)
    ? " If plain Node cannot read it (enums, path aliases), write a file that calls run(storage) of 'activestorage-delayed/cli'."
    : ''
}

function isUnreadableModule(error: unknown): boolean {
  if (!types.isNativeError(error)) return false
  const code = 'code' in error ? String(error.code) : ''
  return (
    error.name === 'SyntaxError' ||
    /^(ERR_)?(MODULE_NOT_FOUND|PACKAGE_|UNSUPPORTED_|UNKNOWN_FILE|INVALID_TYPESCRIPT)/.test(code)
  )
}

/**
 * Returns whether an error says that a file with ES module syntax was loaded as CommonJS. Node's
 * error has no code.
 */
function isCommonJsError(error: unknown): boolean {
  return (
    types.isNativeError(error) &&
    /^(Cannot use import statement|Unexpected token 'export')/.test(error.message)
  )
}
