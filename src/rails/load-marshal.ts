import { BIGNUM_UNIT_BYTES, type RailsValue } from './rails-value.ts'

/**
 * Reads what `dumpMarshal` and Ruby's `Marshal.dump` write. Symbols come as their names, large
 * integers as bigints. Throws TypeError on anything else, so that an object of a Ruby class is
 * never built.
 */
export function loadMarshal(data: Buffer): RailsValue {
  if (data[0] !== 4 || data[1] !== 8) throw new TypeError('The data is not in Marshal format 4.8.')
  return new MarshalReader(data).read()
}

class MarshalReader {
  readonly #data: Buffer
  readonly #symbols: string[] = []
  readonly #objects: RailsValue[] = []
  #at = 2

  constructor(data: Buffer) {
    this.#data = data
  }

  read(): RailsValue {
    const type = String.fromCharCode(this.#readByte())
    switch (type) {
      case '0':
        return null
      case 'T':
        return true
      case 'F':
        return false
      case 'i':
        return this.#readLong()
      case 'l':
        return this.#keep(this.#readLargeInteger())
      case 'f':
        return this.#keep(Number(this.#readText().replace('inf', 'Infinity')))
      case '"':
        return this.#keep(this.#readText())
      case ':':
        return this.#readSymbol()
      case ';':
        return this.#readLink(this.#symbols)
      case '@':
        return this.#readLink(this.#objects)
      case 'I':
        return this.#readWithEncoding()
      case '[':
        return this.#readList()
      case '{':
        return this.#readHash()
      default:
        throw new TypeError(`Marshal type ${JSON.stringify(type)} is not supported.`)
    }
  }

  #readByte(): number {
    const byte = this.#data[this.#at++]
    if (byte === undefined) throw new TypeError('The data ends too early.')
    return byte
  }

  /** Reads Marshal's own integer: see `encodeLong`. */
  #readLong(): number {
    const first = (this.#readByte() << 24) >> 24
    if (first === 0) return 0
    if (first > 4) return first - 5
    if (first < -4) return first + 5
    let value = first > 0 ? 0 : -1
    for (let shift = 0; shift < Math.abs(first) * 8; shift += 8) {
      const bits = this.#readByte() << shift
      value = first > 0 ? value | bits : (value & ~(255 << shift)) | bits
    }
    return value
  }

  #readText(): string {
    const length = this.#readLong()
    if (length < 0 || this.#at + length > this.#data.length)
      throw new TypeError('The data ends too early.')
    this.#at += length
    return this.#data.subarray(this.#at - length, this.#at).toString()
  }

  #readLargeInteger(): bigint {
    const isNegative = this.#readByte() === 0x2d
    const length = this.#readLong() * BIGNUM_UNIT_BYTES
    let value = 0n
    for (let index = 0; index < length; index += 1)
      value |= BigInt(this.#readByte()) << BigInt(8 * index)
    return isNegative ? -value : value
  }

  #readSymbol(): string {
    const name = this.#readText()
    this.#symbols.push(name)
    return name
  }

  #readLink<T>(targets: readonly T[]): T {
    const target = targets[this.#readLong()]
    if (target === undefined) throw new TypeError('A link leads nowhere.')
    return target
  }

  /**
   * Skips the instance variables of a value. They hold its encoding, which is always UTF-8 or a
   * part of it.
   */
  #readWithEncoding(): RailsValue {
    const value = this.read()
    for (let left = this.#readLong(); left > 0; left -= 1) {
      this.read()
      this.read()
    }
    return value
  }

  #readList(): RailsValue[] {
    const list: RailsValue[] = this.#keep([])
    for (let left = this.#readLong(); left > 0; left -= 1) list.push(this.read())
    return list
  }

  #readHash(): RailsValue {
    // The object has no prototype, so that no key of a message can reach one.
    const hash: Record<string, RailsValue> = Object.create(null)
    this.#keep(hash)
    for (let left = this.#readLong(); left > 0; left -= 1) {
      const key = this.read()
      if (typeof key !== 'string') throw new TypeError('Only strings and symbols can be keys.')
      hash[key] = this.read()
    }
    return hash
  }

  /**
   * Numbers an object, so that a link can lead to it. A list or hash is numbered before its items.
   */
  #keep<T extends RailsValue>(value: T): T {
    this.#objects.push(value)
    return value
  }
}
