import { randomInt } from 'node:crypto'

const KEY_ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyz'

/** 28 characters of base 36, as Rails makes them. */
export function generateKey(): string {
  return Array.from({ length: 28 }, () => KEY_ALPHABET[randomInt(36)]).join('')
}

/** Below the attachment's `keyPrefix`. */
export function prefixKey(prefix: string | undefined, name: string): string {
  return prefix === undefined || prefix === '' ? name : `${prefix.replace(/\/+$/, '')}/${name}`
}
