import { BIGNUM_UNIT_BYTES, toSymbolName, type RailsValue } from './rails-value.ts'

/** Marshal writes integers from here on, and below its negative, as large ones. */
const FIXNUM_LIMIT = 2n ** 30n

/** Writes a value in Ruby's Marshal format 4.8, byte for byte as `Marshal.dump` does. */
export function dumpMarshal(value: RailsValue): Buffer {
  return new MarshalWriter().dump(value)
}

class MarshalWriter {
  readonly #out: number[] = [4, 8]
  readonly #symbols = new Map<string, number>()
  readonly #floats = new Map<string, number>()
  /**
   * Ruby numbers each string, float, array, hash and large integer. A repeated float is a link to
   * its number.
   */
  #objectCount = 0

  dump(value: RailsValue): Buffer {
    this.#write(value)
    return Buffer.from(this.#out)
  }

  #write(value: RailsValue): void {
    if (value === null) this.#push('0')
    else if (typeof value === 'boolean') this.#push(value ? 'T' : 'F')
    else if (typeof value === 'symbol') this.#writeSymbol(toSymbolName(value))
    else if (typeof value === 'bigint') this.#writeInteger(value)
    else if (typeof value === 'number') {
      if (Number.isInteger(value)) this.#writeInteger(BigInt(value))
      else this.#writeFloat(value)
    } else if (typeof value === 'string') this.#writeString(value)
    else if (isList(value)) this.#writeList(value)
    else this.#writeHash(value)
  }

  #push(type: string, ...bytes: number[]): void {
    this.#out.push(type.charCodeAt(0), ...bytes)
  }

  #writeBytes(data: Uint8Array): void {
    this.#out.push(...encodeLong(data.length))
    for (const byte of data) this.#out.push(byte)
  }

  #writeSymbol(name: string): void {
    const index = this.#symbols.get(name)
    if (index !== undefined) return this.#push(';', ...encodeLong(index))
    const data = Buffer.from(name)
    const isAscii = data.every((byte) => byte < 128)
    if (!isAscii) this.#push('I')
    this.#push(':')
    this.#writeBytes(data)
    this.#symbols.set(name, this.#symbols.size)
    if (!isAscii) this.#writeEncoding()
  }

  /** One instance variable, `E: true`: the text is UTF-8. */
  #writeEncoding(): void {
    this.#out.push(...encodeLong(1))
    this.#writeSymbol('E')
    this.#push('T')
  }

  #writeInteger(value: bigint): void {
    if (value >= -FIXNUM_LIMIT && value < FIXNUM_LIMIT)
      return this.#push('i', ...encodeLong(Number(value)))
    this.#objectCount += 1
    const digits: number[] = []
    for (let rest = value < 0n ? -value : value; rest > 0n; rest >>= 8n)
      digits.push(Number(rest & 255n))
    if (digits.length % BIGNUM_UNIT_BYTES === 1) digits.push(0)
    this.#push('l')
    this.#push(value < 0n ? '-' : '+', ...encodeLong(digits.length / BIGNUM_UNIT_BYTES), ...digits)
  }

  #writeFloat(value: number): void {
    const text = formatFloat(value)
    const index = this.#floats.get(text)
    if (index !== undefined) return this.#push('@', ...encodeLong(index))
    this.#floats.set(text, this.#objectCount)
    this.#objectCount += 1
    this.#push('f')
    this.#writeBytes(Buffer.from(text))
  }

  #writeString(value: string): void {
    this.#objectCount += 1
    this.#push('I')
    this.#push('"')
    this.#writeBytes(Buffer.from(value))
    this.#writeEncoding()
  }

  #writeList(list: readonly RailsValue[]): void {
    this.#objectCount += 1
    this.#push('[', ...encodeLong(list.length))
    for (const item of list) this.#write(item)
  }

  #writeHash(hash: { readonly [key: string]: RailsValue }): void {
    this.#objectCount += 1
    const entries = Object.entries(hash)
    this.#push('{', ...encodeLong(entries.length))
    for (const [key, item] of entries) {
      this.#writeSymbol(key)
      this.#write(item)
    }
  }
}

const isList = (value: RailsValue): value is readonly RailsValue[] => Array.isArray(value)

/**
 * Encodes Marshal's own integer: small ones in one byte, others in a count and up to four bytes.
 */
function encodeLong(value: number): number[] {
  if (value === 0) return [0]
  if (value > 0 && value < 123) return [value + 5]
  if (value < 0 && value > -124) return [(value - 5) & 255]
  const bytes: number[] = []
  for (let rest = value; rest !== 0 && rest !== -1; rest >>= 8) bytes.push(rest & 255)
  return [value > 0 ? bytes.length : 256 - bytes.length, ...bytes]
}

/**
 * Writes the shortest digits that read back as the same number, with the point where Marshal puts
 * it.
 */
function formatFloat(number: number): string {
  if (Number.isNaN(number)) return 'nan'
  if (!Number.isFinite(number)) return number > 0 ? 'inf' : '-inf'
  const [mantissa = '', exponent] = Math.abs(number).toExponential().split('e')
  const digits = mantissa.replace('.', '')
  const point = Number(exponent) + 1
  const sign = number < 0 ? '-' : ''
  if (point < -3 || point > digits.length)
    return `${sign}${digits.slice(0, 1)}${digits.length > 1 ? `.${digits.slice(1)}` : ''}e${point - 1}`
  return point > 0
    ? `${sign}${digits.slice(0, point)}.${digits.slice(point)}`
    : `${sign}0.${'0'.repeat(-point)}${digits}`
}
