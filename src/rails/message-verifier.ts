import { createHmac, pbkdf2Sync, timingSafeEqual } from 'node:crypto'

/** Signs and reads ids in Rails' message format (ActiveSupport::MessageVerifier of Active Storage). */
export interface MessageVerifier {
  generate(value: string | number | bigint, options: { readonly purpose: string; readonly expiresAt?: Date }): string
  /** null: not signed with these secrets, or for another purpose. */
  verify(token: string, options: { readonly purpose: string; readonly now?: Date }): Verified | null
}
export type Verified = { readonly value: unknown; readonly expired?: never } | { readonly value: unknown; readonly expired: true }

export interface MessageVerifierOptions {
  /** Read at each use; the first one signs. */
  secrets(): readonly string[]
  readonly keyDigest?: 'SHA1' | 'SHA256'
  readonly envelope?: 'json' | 'marshal'
}

const keys = new Map<string, Buffer>()

/** Rails derives the key of Active Storage's verifier with 1000 iterations, not KeyGenerator's own default. */
export function deriveKey(secret: string, digest: 'SHA1' | 'SHA256'): Buffer {
  const id = `${digest}:${secret}`
  const key = keys.get(id) ?? pbkdf2Sync(secret, 'ActiveStorage', 1000, 64, digest.toLowerCase())
  keys.set(id, key)
  return key
}

export function messageVerifier(options: MessageVerifierOptions): MessageVerifier {
  const { keyDigest = 'SHA256', envelope = 'json' } = options
  const sign = (key: Buffer, body: string): string => createHmac('sha1', key).update(body).digest('hex')
  return {
    generate(value, { purpose, expiresAt }) {
      const [secret = ''] = options.secrets()
      const json = envelope === 'json' ? jsonEnvelope(value, purpose, expiresAt) : legacyEnvelope(value, purpose, expiresAt)
      const body = Buffer.from(json).toString('base64')
      return `${body}--${sign(deriveKey(secret, keyDigest), body)}`
    },
    verify(token, { purpose, now = new Date() }) {
      const match = token.length > 65_536 ? null : /^([A-Za-z0-9+/]+={0,2})--([0-9a-f]{40})$/.exec(token)
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
  json.replaceAll(/[<>&\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)

function jsonEnvelope(value: string | number | bigint, purpose: string, expiresAt: Date | undefined): string {
  const data = typeof value === 'bigint' ? String(value) : JSON.stringify(value)
  const exp = expiresAt === undefined ? '' : `,"exp":"${expiresAt.toISOString()}"`
  return escaped(`{"_rails":{"data":${data}${exp},"pur":${JSON.stringify(purpose)}}}`)
}

function legacyEnvelope(value: string | number | bigint, purpose: string, expiresAt: Date | undefined): string {
  const message = dump(value).toString('base64')
  const exp = expiresAt === undefined ? 'null' : `"${expiresAt.toISOString()}"`
  return escaped(`{"_rails":{"message":"${message}","exp":${exp},"pur":${JSON.stringify(purpose)}}}`)
}

function open(json: string, purpose: string, now: Date): Verified | null {
  try {
    // Ids above 2^53 are kept exact.
    const exact = json.replace(/^(\{"_rails":\{"data":)(-?\d{16,19})(?=[,}])/, '$1"$2"')
    const { _rails: rails } = JSON.parse(exact) as { _rails: { data?: unknown; message?: string; exp?: string | null; pur?: string } }
    if ((rails.pur ?? '') !== purpose) return null
    const value = rails.message === undefined ? rails.data : loadMessage(Buffer.from(rails.message, 'base64'))
    if (rails.exp != null && now.getTime() >= new Date(rails.exp).getTime()) return { value, expired: true }
    return { value }
  } catch {
    return null
  }
}

/** Rails 7.1 and newer write JSON; the legacy envelope may hold either. */
function loadMessage(data: Buffer): unknown {
  return data[0] === 4 && data[1] === 8 ? load(data) : JSON.parse(data.toString())
}

/** The part of Marshal 4.8 that signed ids need: integers and strings. */
function dump(value: string | number | bigint): Buffer {
  if (typeof value === 'string') {
    const text = Buffer.from(value)
    return Buffer.concat([Buffer.from('\x04\x08I"', 'latin1'), long(text.length), text, Buffer.from('\x06:\x06ET', 'latin1')])
  }
  const number = BigInt(value)
  if (number >= -(2n ** 30n) && number < 2n ** 30n) return Buffer.concat([Buffer.from([4, 8, 0x69]), long(Number(number))])
  const bytes: number[] = []
  for (let rest = number < 0n ? -number : number; rest > 0n; rest >>= 8n) bytes.push(Number(rest & 255n))
  if (bytes.length % 2 === 1) bytes.push(0)
  return Buffer.concat([Buffer.from([4, 8, 0x6c, number < 0n ? 0x2d : 0x2b]), long(bytes.length / 2), Buffer.from(bytes)])
}

function long(value: number): Buffer {
  if (value === 0) return Buffer.from([0])
  if (value > 0 && value < 123) return Buffer.from([value + 5])
  if (value < 0 && value > -124) return Buffer.from([(value - 5) & 255])
  const bytes: number[] = []
  for (let rest = value; rest !== 0 && rest !== -1; rest >>= 8) bytes.push(rest & 255)
  return Buffer.from([value > 0 ? bytes.length : 256 - bytes.length, ...bytes])
}

function load(data: Buffer): unknown {
  let at = 2
  const readLong = (): number => {
    const first = data.readInt8(at++)
    if (first === 0) return 0
    if (first > 4) return first - 5
    if (first < -4) return first + 5
    let value = first > 0 ? 0 : -1
    for (let index = 0; index < Math.abs(first); index += 1) {
      const byte = data[at++] ?? 0
      value = first > 0 ? value | (byte << (8 * index)) : (value & ~(255 << (8 * index))) | (byte << (8 * index))
    }
    return value
  }
  const type = String.fromCharCode(data[at++] ?? 0)
  if (type === 'i') return readLong()
  if (type === 'l') {
    const negative = data[at++] === 0x2d
    const length = readLong() * 2
    let value = 0n
    for (let index = length - 1; index >= 0; index -= 1) value = (value << 8n) | BigInt(data[at + index] ?? 0)
    return String(negative ? -value : value)
  }
  if (type === 'I' && data[at++] === 0x22) {
    const length = readLong()
    return data.subarray(at, at + length).toString()
  }
  throw new TypeError('Only integers and strings are read.')
}
