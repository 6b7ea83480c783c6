import { randomUUID } from 'node:crypto'
import { truncateFilename, getExtension, parameterize, sanitizeFilename } from './filename.ts'

/**
 * The gem's rule: `{id}-{name}-{seconds}.{ext}`, with a uuid after the id on a has-many. A purely non-Latin name, of
 * which the gem leaves nothing, keeps its letters.
 */
export function createDefaultFilename(
  id: string,
  filename: string,
  kind: 'one' | 'many',
  now: Date,
): string {
  const suffix = getExtension(filename)
  const base = suffix === '' ? filename : filename.slice(0, -suffix.length)
  const name = parameterize(base) || sanitizeFilename(base).replaceAll(/\s+/g, '-')
  const unique = kind === 'many' ? `-${randomUUID()}` : ''
  return `${id}${unique}-${name}-${Math.floor(now.getTime() / 1000)}${suffix}`
}

/** One safe segment of a key: no path, no control characters, not hidden, at most 200 bytes, never empty. */
export function toSafeObjectName(name: string): string {
  const safe = sanitizeFilename(name)
    .replaceAll(/[\p{Cc}\p{Cf}]/gu, '')
    .replaceAll(/\.{2,}/g, '.')
    .replaceAll(/^[.\s-]+|[.\s]+$/g, '')
  return truncateFilename(safe === '' ? 'file' : safe, 200)
}

export function insertSuffix(name: string, random: string): string {
  const suffix = getExtension(name)
  return `${suffix === '' ? name : name.slice(0, -suffix.length)}-${random}${suffix}`
}
