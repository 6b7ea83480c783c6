import {
  createHmac,
  createSecretKey,
  pbkdf2Sync,
  timingSafeEqual,
  type KeyObject,
} from 'node:crypto'
import { dumpMarshal } from './dump-marshal.ts'
import { loadMarshal } from './load-marshal.ts'
import { toSymbolName, type RailsValue } from './rails-value.ts'

type KeyDigest = 'SHA1' | 'SHA256'

/**
 * Signs and reads values in Rails' message format (`ActiveSupport::MessageVerifier` of Active
 * Storage).
 */
export interface MessageVerifier {
  /** Throws the error of `generate` if there is no secret. */
  assertSecret(): void
  /** Returns a signed token. Without `expiresAt` it never expires. */
  generate(
    value: RailsValue,
    options: { readonly purpose: string; readonly expiresAt?: Date | undefined },
  ): string
  /**
   * Reads a token. Returns null when it was not signed with these secrets, or for another purpose.
   * `now` is for tests.
   */
  verify(
    token: string,
    options: { readonly purpose: string; readonly now?: Date },
  ): VerifiedMessage | null
}

/**
 * Content of a token whose signature is right. Symbols come as their names, integers above 2^53 as
 * text or bigints.
 */
export type VerifiedMessage = ValidMessage | ExpiredMessage

/** Content of a token that has not expired. */
export interface ValidMessage {
  readonly state: 'valid'
  readonly value: unknown
  /** null: the token never expires. */
  readonly expiresAt: Date | null
}

/** Content of a token that has expired. The caller decides whether it still counts. */
export interface ExpiredMessage {
  readonly state: 'expired'
  readonly value: unknown
  readonly expiresAt: Date
}

/** Options of `createMessageVerifier`. */
export interface MessageVerifierOptions {
  /**
   * Returns all secrets. It is called at each use, so that secrets can change. The first one signs.
   */
  secrets(): readonly string[]
  /** Digest that derives the key which signs. Default 'SHA256', Rails 7's. */
  readonly keyDigest?: KeyDigest
  /** Format of new tokens. Default 'json', Rails 7.1's. */
  readonly envelope?: 'json' | 'marshal'
}

/**
 * Longer texts are no tokens of this storage, and are refused before their signature is computed.
 */
const MAX_TOKEN_CHARACTERS = 65_536

/**
 * Derives the key of Active Storage's verifier. Rails uses 1000 iterations here, not the default of
 * its KeyGenerator.
 */
export function deriveKey(secret: string, digest: KeyDigest): KeyObject {
  return createSecretKey(pbkdf2Sync(secret, 'ActiveStorage', 1000, 64, digest.toLowerCase()))
}

/**
 * Keys of one verifier, because deriving one takes longer than signing. Keys of secrets that were
 * removed are dropped.
 */
class DerivedKeys {
  readonly #keys = new Map<string, Map<KeyDigest, KeyObject>>()

  get(secret: string, digest: KeyDigest): KeyObject {
    const keys = this.#keys.get(secret) ?? new Map<KeyDigest, KeyObject>()
    const key = keys.get(digest) ?? deriveKey(secret, digest)
    this.#keys.set(secret, keys.set(digest, key))
    return key
  }

  keepOnly(secrets: readonly string[]): void {
    for (const secret of this.#keys.keys()) if (!secrets.includes(secret)) this.#keys.delete(secret)
  }
}

/** Creates a verifier. It reads tokens of both digests and both formats, whichever it writes. */
export function createMessageVerifier(options: MessageVerifierOptions): MessageVerifier {
  const { keyDigest = 'SHA256', envelope = 'json' } = options
  const keys = new DerivedKeys()
  const readSecrets = (): readonly string[] => {
    const secrets = options.secrets()
    keys.keepOnly(secrets)
    return secrets
  }
  const sign = (secret: string, digest: KeyDigest, body: string): string =>
    createHmac('sha1', keys.get(secret, digest)).update(body).digest('hex')
  return {
    assertSecret: () => void readSecrets(),
    generate(value, { purpose, expiresAt }) {
      const [secret = ''] = readSecrets()
      const json =
        envelope === 'json'
          ? writeJsonEnvelope(value, purpose, expiresAt)
          : writeMarshalEnvelope(value, purpose, expiresAt)
      const body = Buffer.from(json).toString('base64')
      return `${body}--${sign(secret, keyDigest, body)}`
    },
    verify(token, { purpose, now = new Date() }) {
      const match =
        typeof token !== 'string' || token.length > MAX_TOKEN_CHARACTERS
          ? null
          : /^([A-Za-z0-9+/]+={0,2})--([0-9a-f]{40})$/.exec(token)
      if (match === null) return null
      const [, body = '', signature = ''] = match
      const isSigned = readSecrets().some((secret) =>
        (['SHA256', 'SHA1'] as const).some((digest) =>
          timingSafeEqual(Buffer.from(sign(secret, digest, body)), Buffer.from(signature)),
        ),
      )
      return isSigned ? openEnvelope(Buffer.from(body, 'base64').toString(), purpose, now) : null
    },
  }
}

/**
 * Escapes characters that ActiveSupport escapes in JSON, so that tokens are the same to the byte.
 */
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

/** Writes JSON as ActiveSupport does: symbols as their names, integers of any size as digits. */
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
  const message = dumpMarshal(value).toString('base64')
  const exp = expiresAt === undefined ? 'null' : `"${expiresAt.toISOString()}"`
  return escapeJson(
    `{"_rails":{"message":"${message}","exp":${exp},"pur":${JSON.stringify(purpose)}}}`,
  )
}

/** Reads either format. Returns null for another purpose, or for text that is no envelope. */
function openEnvelope(json: string, purpose: string, now: Date): VerifiedMessage | null {
  try {
    // JSON.parse would round ids above 2^53, so they are read as text.
    const exact = json.replace(/^(\{"_rails":\{"data":)(-?\d{16,19})(?=[,}])/, '$1"$2"')
    const { _rails: rails }: Envelope = JSON.parse(exact)
    if ((rails.pur ?? '') !== purpose) return null
    const value =
      rails.message === undefined
        ? rails.data
        : readMarshalMessage(Buffer.from(rails.message, 'base64'))
    if (rails.exp == null) return { state: 'valid', value, expiresAt: null }
    const expiresAt = new Date(rails.exp)
    // An invalid time compares as false, so it counts as past.
    const isValid = now.getTime() < expiresAt.getTime()
    return { state: isValid ? 'valid' : 'expired', value, expiresAt }
  } catch {
    return null
  }
}

/** Rails' envelope; its signature was verified. */
interface Envelope {
  readonly _rails: {
    readonly data?: unknown
    readonly message?: string
    readonly exp?: string | null
    readonly pur?: string
  }
}

/** Reads a message as Marshal or as JSON: Rails 7.1 and newer may write either. */
function readMarshalMessage(data: Buffer): unknown {
  return data[0] === 4 && data[1] === 8 ? loadMarshal(data) : JSON.parse(data.toString())
}
