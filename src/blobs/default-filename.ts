import { randomUUID } from 'node:crypto'
import { getExtension, parameterize, sanitizeFilename, truncateFilename } from './filename.ts'

/**
 * Builds the gem's default name of an object: `{id}-{name}-{seconds}.{ext}`, with a uuid after the
 * id on a has-many. A name without Latin letters, of which the gem leaves nothing, keeps its
 * letters.
 */
export function createDefaultFilename(
  id: string,
  filename: string,
  kind: 'one' | 'many',
  { now, createUuid = randomUUID }: { readonly now: Date; readonly createUuid?: () => string },
): string {
  const suffix = getExtension(filename)
  const base = suffix === '' ? filename : filename.slice(0, -suffix.length)
  const name = parameterize(base) || sanitizeFilename(base).replaceAll(/\s+/g, '-')
  const unique = kind === 'many' ? `-${createUuid()}` : ''
  return `${id}${unique}-${name}-${Math.floor(now.getTime() / 1000)}${suffix}`
}

/**
 * Turns a name into one safe segment of a key: no path, no control characters, not hidden, at most
 * 200 bytes, never empty.
 */
export function toSafeObjectName(name: string): string {
  const safe = sanitizeFilename(name)
    .replaceAll(/[\p{Cc}\p{Cf}]/gu, '')
    .replaceAll(/\.{2,}/g, '.')
    .replaceAll(/^[.\s-]+|[.\s]+$/g, '')
  return truncateFilename(safe === '' ? 'file' : safe, 200)
}

/** Inserts a suffix before a name's extension: 'a-x1.png' for 'a.png' and 'x1'. */
export function insertSuffix(name: string, suffix: string): string {
  const ending = getExtension(name)
  return `${ending === '' ? name : name.slice(0, -ending.length)}-${suffix}${ending}`
}
