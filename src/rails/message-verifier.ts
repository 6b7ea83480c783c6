import {
  createHmac,
  createSecretKey,
  pbkdf2Sync,
  timingSafeEqual,
  type KeyObject,
} from 'node:crypto'
import { dumpMarshal, loadMarshal, toSymbolName, type RailsValue } from './marshal.ts'

/** Signs and reads values in Rails' message format (ActiveSupport::MessageVerifier of Active Storage). */
export interface MessageVerifier {
  generate(
    value: RailsValue,
    options: { readonly purpose: string; readonly expiresAt?: Date | undefined },
  ): string
  /** null: not signed with these secrets, or for another purpose. */
  verify(
    token: string,
    options: { readonly purpose: string; readonly now?: Date },
  ): VerifiedMessage | null
}
/** Symbols come as their names, integers above 2^53 as text or bigints. */
export interface VerifiedMessage {
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
const derivedKeys = new Map<string, KeyObject>()

/** Rails derives the key of Active Storage's verifier with 1000 iterations, not KeyGenerator's own default. */
export function deriveKey(secret: string, digest: 'SHA1' | 'SHA256'): KeyObject {
  const id = `${digest}:${secret}`
  const key =
    derivedKeys.get(id) ??
    createSecretKey(pbkdf2Sync(secret, 'ActiveStorage', 1000, 64, digest.toLowerCase()))
  derivedKeys.set(id, key)
  return key
}

/** Both digests and both envelopes are read, whichever is written. */
export function createMessageVerifier(options: MessageVerifierOptions): MessageVerifier {
  const { keyDigest = 'SHA256', envelope = 'json' } = options
  const sign = (key: KeyObject, body: string): string =>
    createHmac('sha1', key).update(body).digest('hex')
  return {
    generate(value, { purpose, expiresAt }) {
      const [secret = ''] = options.secrets()
      const json =
        envelope === 'json'
          ? writeJsonEnvelope(value, purpose, expiresAt)
          : writeMarshalEnvelope(value, purpose, expiresAt)
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
      return signed ? openEnvelope(Buffer.from(body, 'base64').toString(), purpose, now) : null
    },
  }
}

const escapeJson = (json: string): string =>
  json.replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )

function writeJsonEnvelope(
  value: RailsValue,
  purpose: string,
  expiresAt: Date | undefined,
): string {
  const exp = expiresAt === undefined ? '' : `,"exp":"${expiresAt.toISOString()}"`
  return escapeJson(
    `{"_rails":{"data":${toRubyJson(value)}${exp},"pur":${JSON.stringify(purpose)}}}`,
  )
}

/** As ActiveSupport writes it: symbols as their names, integers of any size as digits. */
function toRubyJson(value: RailsValue): string {
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'symbol') return JSON.stringify(toSymbolName(value))
  if (Array.isArray(value)) return `[${value.map(toRubyJson).join(',')}]`
  if (typeof value === 'object' && value !== null)
    return `{${Object.entries(value)
      .map(([key, each]) => `${JSON.stringify(key)}:${toRubyJson(each)}`)
      .join(',')}}`
  return JSON.stringify(value)
}

function writeMarshalEnvelope(
  value: RailsValue,
  purpose: string,
  expiresAt: Date | undefined,
): string {
  const exp = expiresAt === undefined ? 'null' : `"${expiresAt.toISOString()}"`
  return escapeJson(
    `{"_rails":{"message":"${dumpMarshal(value).toString('base64')}","exp":${exp},"pur":${JSON.stringify(purpose)}}}`,
  )
}

function openEnvelope(json: string, purpose: string, now: Date): VerifiedMessage | null {
  try {
    // Ids above 2^53 are kept exact.
    const exact = json.replace(/^(\{"_rails":\{"data":)(-?\d{16,19})(?=[,}])/, '$1"$2"')
    const { _rails: rails } = JSON.parse(exact) as {
      _rails: { data?: unknown; message?: string; exp?: string | null; pur?: string }
    }
    if ((rails.pur ?? '') !== purpose) return null
    const value =
      rails.message === undefined
        ? rails.data
        : readMarshalMessage(Buffer.from(rails.message, 'base64'))
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
function readMarshalMessage(data: Buffer): unknown {
  return data[0] === 4 && data[1] === 8 ? loadMarshal(data) : JSON.parse(data.toString())
}
