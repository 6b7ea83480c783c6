import { ConfigurationError } from '../errors/errors.ts'
import { formatList } from '../errors/message.ts'

/**
 * Throws ConfigurationError on unknown options: a typo would otherwise be ignored. `where` begins
 * the message.
 */
export function checkOptions(given: unknown, known: readonly string[], where: string): void {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new ConfigurationError(`${where}: give an object with ${formatList(known)}.`)
  for (const name of Object.keys(given))
    if (!known.includes(name))
      throw new ConfigurationError(
        `${where}: unknown option '${name}'. The options are ${formatList(known)}.`,
      )
}
