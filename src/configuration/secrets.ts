import { ConfigurationError } from '../errors/errors.ts'
import { configurationError } from './configuration-error.ts'

type Secrets = string | readonly string[] | undefined

/**
 * Throws ConfigurationError for a `secretKeyBase` that is empty or not text. Leaving it out is
 * allowed.
 */
export function checkSecrets(given: Secrets): void {
  if (given !== undefined && !isSecret(given))
    throw configurationError(
      'secretKeyBase must be text or a list of texts, none of them empty. Leave it out to read SECRET_KEY_BASE on first use.',
    )
}

/**
 * Reads the secrets, newest first: `secretKeyBase`, else SECRET_KEY_BASE. They are read at first
 * use, so that tools run without one.
 */
export function readSecrets(given: Secrets): readonly string[] {
  const list = given ?? process.env['SECRET_KEY_BASE']
  const all = typeof list === 'string' ? [list] : (list ?? [])
  if (!isSecret(all))
    throw new ConfigurationError(
      'No secret to sign ids with: set SECRET_KEY_BASE in the environment, or pass secretKeyBase.',
    )
  return all
}

function isSecret(given: unknown): boolean {
  const all: readonly unknown[] = Array.isArray(given) ? given : [given]
  return all.length > 0 && all.every((secret) => typeof secret === 'string' && secret !== '')
}
