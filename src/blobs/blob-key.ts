import { randomInt } from 'node:crypto'

const KEY_ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyz'

/**
 * Makes a key of 28 characters in base 36, as Rails does. `random` returns a whole number below its
 * argument; it is for tests.
 */
export function generateKey(random: (below: number) => number = randomInt): string {
  return Array.from({ length: 28 }, () => KEY_ALPHABET[random(36)]).join('')
}

/** Puts the attachment's `keyPrefix` before a key, with one `/` between. */
export function prefixKey(prefix: string | undefined, name: string): string {
  return prefix === undefined || prefix === '' ? name : `${prefix.replace(/\/+$/, '')}/${name}`
}
