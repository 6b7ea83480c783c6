import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { internalsOf, type ActiveStorage } from '../active-storage.ts'
import type { Models } from '../attached/definitions.ts'
import { ConfigurationError } from '../errors.ts'
import { messageOf } from '../message.ts'

export type AnyStorage = ActiveStorage<Models, never>

const names = ['activestorage.config.ts', 'activestorage.config.mts', 'activestorage.config.js', 'activestorage.config.mjs']

/** The storage that a configuration file exports, as `storage` or by default. Throws ConfigurationError. */
export async function loadStorage(path: string | undefined, folder: string): Promise<AnyStorage> {
  const file = path ?? names.find((name) => existsSync(resolve(folder, name)))
  if (file === undefined)
    throw new ConfigurationError(`There is no ${names[0]} here. Say where it is with --config, or run from the app's folder.`)
  if (!existsSync(resolve(folder, file))) throw new ConfigurationError(`There is no file ${resolve(folder, file)}.`)
  const module = (await import(pathToFileURL(resolve(folder, file)).href).catch((error: unknown) => {
    throw new ConfigurationError(
      `${file} could not be loaded: ${messageOf(error)}. Where plain Node cannot read it (enums, path aliases), write a file of your own that calls run(storage) of 'activestorage-delayed/cli'.`,
      { cause: error },
    )
  })) as Record<string, unknown>
  for (const found of [module['storage'], module['default']])
    if (typeof found === 'object' && found !== null && internalsOf(found) !== null) return found as AnyStorage
  throw new ConfigurationError(`${file} exports no storage: export const storage = createActiveStorage({ … }).`)
}
