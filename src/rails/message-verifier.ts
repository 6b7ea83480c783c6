import {
  createHmac,
  createSecretKey,
  pbkdf2Sync,
  timingSafeEqual,
  type KeyObject,
} from 'node:crypto'
import { dump, load, nameOf, type RailsValue } from './marshal.ts'

/** Signs and reads values in Rails' message format (ActiveSupport::MessageVerifier of Active Storage). */
export interface MessageVerifier {
  generate(
    value: RailsValue,
    options: { readonly purpose: string; readonly expiresAt?: Date | undefined },
  ): string
  /** null: not signed with these secrets, or for another purpose. */
  verify(token: string, options: { readonly purpose: string; readonly now?: Date }): Verified | null
}
/** Symbols come as their names, integers above 2^53 as text or bigints. */
export interface Verified {
  readonly value: unknown
  readonly expired?: true
  /** When it expires, if it does. */
  readonly expiresAt?: Date
}

export interface MessageVerifierOptions {
  /** Read at each use; the first one signs. */
  secrets(): readonly string[]
  readonly keyDigest?: 'SHA1' | 'SHA256'
  readonly envelope?: 'json' | 'marshal'
}

/** As objects: a buffer would be made one at each use, which takes longer than signing. */
const keys = new Map<string, KeyObject>()

/** Rails derives the key of Active Storage's verifier with 1000 iterations, not KeyGenerator's own default. */
export function deriveKey(secret: string, digest: 'SHA1' | 'SHA256'): KeyObject {
  const id = `${digest}:${secret}`
  const key =
    keys.get(id) ??
    createSecretKey(pbkdf2Sync(secret, 'ActiveStorage', 1000, 64, digest.toLowerCase()))
  keys.set(id, key)
  return key
}

/** Both digests and both envelopes are read, whichever is written. */
export function messageVerifier(options: MessageVerifierOptions): MessageVerifier {
  const { keyDigest = 'SHA256', envelope = 'json' } = options
  const sign = (key: KeyObject, body: string): string =>
    createHmac('sha1', key).update(body).digest('hex')
  return {
    generate(value, { purpose, expiresAt }) {
      const [secret = ''] = options.secrets()
      const json =
        envelope === 'json'
          ? jsonEnvelope(value, purpose, expiresAt)
          : legacyEnvelope(value, purpose, expiresAt)
      const body = Buffer.from(json).toString('base64')
      return `${body}--${sign(deriveKey(secret, keyDigest), body)}`
    },
    verify(token, { purpose, now = new Date() }) {
      const match =
        typeof token !== 'string' || token.length > 65_536
          ? null
          : /^([A-Za-z0-9+/]+={0,2})--([0-9a-f]{40})$/.exec(token)
      if (match === null) return null
      const [, body = '', digest = ''] = match
      const signed = options
        .secrets()
        .some((secret) =>
          (['SHA256', 'SHA1'] as const).some((each) =>
            timingSafeEqual(Buffer.from(sign(deriveKey(secret, each), body)), Buffer.from(digest)),
          ),
        )
      return signed ? open(Buffer.from(body, 'base64').toString(), purpose, now) : null
    },
  }
}

const escaped = (json: string): string =>
  json.replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )

function jsonEnvelope(value: RailsValue, purpose: string, expiresAt: Date | undefined): string {
  const exp = expiresAt === undefined ? '' : `,"exp":"${expiresAt.toISOString()}"`
  return escaped(`{"_rails":{"data":${jsonOf(value)}${exp},"pur":${JSON.stringify(purpose)}}}`)
}

/** As ActiveSupport writes it: symbols as their names, integers of any size as digits. */
function jsonOf(value: RailsValue): string {
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'symbol') return JSON.stringify(nameOf(value))
  if (Array.isArray(value)) return `[${value.map(jsonOf).join(',')}]`
  if (typeof value === 'object' && value !== null)
    return `{${Object.entries(value)
      .map(([key, each]) => `${JSON.stringify(key)}:${jsonOf(each)}`)
      .join(',')}}`
  return JSON.stringify(value)
}

function legacyEnvelope(value: RailsValue, purpose: string, expiresAt: Date | undefined): string {
  const exp = expiresAt === undefined ? 'null' : `"${expiresAt.toISOString()}"`
  return escaped(
    `{"_rails":{"message":"${dump(value).toString('base64')}","exp":${exp},"pur":${JSON.stringify(purpose)}}}`,
  )
}

function open(json: string, purpose: string, now: Date): Verified | null {
  try {
    // Ids above 2^53 are kept exact.
    const exact = json.replace(/^(\{"_rails":\{"data":)(-?\d{16,19})(?=[,}])/, '$1"$2"')
    const { _rails: rails } = JSON.parse(exact) as {
      _rails: { data?: unknown; message?: string; exp?: string | null; pur?: string }
    }
    if ((rails.pur ?? '') !== purpose) return null
    const value =
      rails.message === undefined ? rails.data : loadMessage(Buffer.from(rails.message, 'base64'))
    if (rails.exp == null) return { value }
    const expiresAt = new Date(rails.exp)
    // A time that is none counts as past.
    return now.getTime() < expiresAt.getTime()
      ? { value, expiresAt }
      : { value, expiresAt, expired: true }
  } catch {
    return null
  }
}

/** Rails 7.1 and newer write JSON; the legacy envelope may hold either. */
function loadMessage(data: Buffer): unknown {
  return data[0] === 4 && data[1] === 8 ? load(data) : JSON.parse(data.toString())
}
