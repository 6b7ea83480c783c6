import { randomUUID } from 'node:crypto'
import { cut, extension, parameterize, sanitize } from './filename.ts'

/**
 * The gem's rule: `{id}-{name}-{seconds}.{ext}`, with a uuid after the id on a has-many. A purely non-Latin name, of
 * which the gem leaves nothing, keeps its letters.
 */
export function defaultFilename(
  id: string,
  filename: string,
  kind: 'one' | 'many',
  now: Date,
): string {
  const suffix = extension(filename)
  const base = suffix === '' ? filename : filename.slice(0, -suffix.length)
  const name = parameterize(base) || sanitize(base).replaceAll(/\s+/g, '-')
  const unique = kind === 'many' ? `-${randomUUID()}` : ''
  return `${id}${unique}-${name}-${Math.floor(now.getTime() / 1000)}${suffix}`
}

/** One safe segment of a key: no path, no control characters, not hidden, at most 200 bytes, never empty. */
export function safeObjectName(name: string): string {
  const safe = sanitize(name)
    .replaceAll(/[\p{Cc}\p{Cf}]/gu, '')
    .replaceAll(/\.{2,}/g, '.')
    .replaceAll(/^[.\s-]+|[.\s]+$/g, '')
  return cut(safe === '' ? 'file' : safe, 200)
}

export function withSuffix(name: string, random: string): string {
  const suffix = extension(name)
  return `${suffix === '' ? name : name.slice(0, -suffix.length)}-${random}${suffix}`
}
