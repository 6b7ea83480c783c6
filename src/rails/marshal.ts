/**
 * What Rails puts into messages. A JS symbol of the registry (`Symbol.for('local')`) is Ruby's symbol; the keys of a plain
 * object are symbols, as `{ key: … }` has them.
 */
export type RailsValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | symbol
  | readonly RailsValue[]
  | { readonly [key: string]: RailsValue }

const BIGNUM_UNIT_BYTES = 2
const FIXNUM_LIMIT = 2n ** 30n

/** Marshal 4.8 of the values that messages hold, byte for byte as Ruby writes it. */
export function dumpMarshal(value: RailsValue): Buffer {
  const out: number[] = [4, 8]
  const symbols = new Map<string, number>()
  const floats = new Map<string, number>()
  // Ruby numbers every string, float, array, hash and large integer, and links to a float that it wrote before.
  let objects = 0

  const bytes = (data: Uint8Array): void => {
    out.push(...encodeLong(data.length))
    for (const byte of data) out.push(byte)
  }
  const writeSymbol = (name: string): void => {
    const before = symbols.get(name)
    if (before !== undefined) {
      out.push(0x3b, ...encodeLong(before))
      return
    }
    const data = Buffer.from(name)
    const isAscii = data.every((byte) => byte < 128)
    if (!isAscii) out.push(0x49)
    out.push(0x3a)
    bytes(data)
    symbols.set(name, symbols.size)
    if (!isAscii) writeEncoding()
  }
  const writeEncoding = (): void => {
    out.push(...encodeLong(1))
    writeSymbol('E')
    out.push(0x54)
  }
  const writeInteger = (number: bigint): void => {
    if (number >= -FIXNUM_LIMIT && number < FIXNUM_LIMIT) {
      out.push(0x69, ...encodeLong(Number(number)))
      return
    }
    objects += 1
    const digits: number[] = []
    for (let rest = number < 0n ? -number : number; rest > 0n; rest >>= 8n)
      digits.push(Number(rest & 255n))
    if (digits.length % BIGNUM_UNIT_BYTES === 1) digits.push(0)
    out.push(
      0x6c,
      number < 0n ? 0x2d : 0x2b,
      ...encodeLong(digits.length / BIGNUM_UNIT_BYTES),
      ...digits,
    )
  }
  const writeFloat = (number: number): void => {
    const text = formatFloat(number)
    const before = floats.get(text)
    if (before !== undefined) {
      out.push(0x40, ...encodeLong(before))
      return
    }
    floats.set(text, objects)
    objects += 1
    out.push(0x66)
    bytes(Buffer.from(text))
  }
  const write = (each: RailsValue): void => {
    if (each === null) out.push(0x30)
    else if (typeof each === 'boolean') out.push(each ? 0x54 : 0x46)
    else if (typeof each === 'symbol') writeSymbol(toSymbolName(each))
    else if (typeof each === 'bigint') writeInteger(each)
    else if (typeof each === 'number') {
      if (Number.isInteger(each)) writeInteger(BigInt(each))
      else writeFloat(each)
    } else if (typeof each === 'string') {
      objects += 1
      out.push(0x49, 0x22)
      bytes(Buffer.from(each))
      writeEncoding()
    } else if (isList(each)) {
      objects += 1
      out.push(0x5b, ...encodeLong(each.length))
      for (const item of each) write(item)
    } else {
      objects += 1
      const entries = Object.entries(each)
      out.push(0x7b, ...encodeLong(entries.length))
      for (const [key, item] of entries) {
        writeSymbol(key)
        write(item)
      }
    }
  }
  write(value)
  return Buffer.from(out)
}

const isList = (value: RailsValue): value is readonly RailsValue[] => Array.isArray(value)

/** The text of a Ruby symbol. */
export const toSymbolName = (symbol: symbol): string =>
  Symbol.keyFor(symbol) ?? String(symbol.description)

/** Marshal's own integers: small ones in a byte, others in up to four after their count. */
function encodeLong(value: number): number[] {
  if (value === 0) return [0]
  if (value > 0 && value < 123) return [value + 5]
  if (value < 0 && value > -124) return [(value - 5) & 255]
  const bytes: number[] = []
  for (let rest = value; rest !== 0 && rest !== -1; rest >>= 8) bytes.push(rest & 255)
  return [value > 0 ? bytes.length : 256 - bytes.length, ...bytes]
}

/** The shortest digits that give the number back, as Marshal places their point. */
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

/**
 * Reads what `dump` writes; symbols come as their names, large integers as bigints. Throws TypeError on anything else: an
 * object of a Ruby class is never built.
 */
export function loadMarshal(data: Buffer): RailsValue {
  if (data[0] !== 4 || data[1] !== 8) throw new TypeError('This is not Marshal 4.8.')
  let at = 2
  const symbols: string[] = []
  const objects: RailsValue[] = []
  const readByte = (): number => {
    const byte = data[at++]
    if (byte === undefined) throw new TypeError('The data ends too early.')
    return byte
  }
  const readLong = (): number => {
    const first = (readByte() << 24) >> 24
    if (first === 0) return 0
    if (first > 4) return first - 5
    if (first < -4) return first + 5
    let value = first > 0 ? 0 : -1
    for (let index = 0; index < Math.abs(first); index += 1)
      value =
        first > 0
          ? value | (readByte() << (8 * index))
          : (value & ~(255 << (8 * index))) | (readByte() << (8 * index))
    return value
  }
  const readText = (): string => {
    const length = readLong()
    if (length < 0 || at + length > data.length) throw new TypeError('The data ends too early.')
    at += length
    return data.subarray(at - length, at).toString()
  }
  const kept = <T extends RailsValue>(value: T): T => {
    objects.push(value)
    return value
  }
  const linked = <T>(list: readonly T[]): T => {
    const found = list[readLong()]
    if (found === undefined) throw new TypeError('A link leads nowhere.')
    return found
  }
  const readInteger = (): bigint => {
    const isNegative = readByte() === 0x2d
    const length = readLong() * BIGNUM_UNIT_BYTES
    let value = 0n
    for (let index = 0; index < length; index += 1) value |= BigInt(readByte()) << BigInt(8 * index)
    return isNegative ? -value : value
  }
  const readSymbol = (): string => {
    const name = readText()
    symbols.push(name)
    return name
  }
  const readList = (): RailsValue[] => {
    const list: RailsValue[] = kept([])
    for (let left = readLong(); left > 0; left -= 1) list.push(read())
    return list
  }
  const readHash = (): { readonly [key: string]: RailsValue } => {
    const hash: { [key: string]: RailsValue } = kept(
      Object.create(null) as { [key: string]: RailsValue },
    )
    for (let left = readLong(); left > 0; left -= 1) {
      const key = read()
      if (typeof key !== 'string') throw new TypeError('Only texts and symbols are keys.')
      hash[key] = read()
    }
    return hash
  }
  /** A value with its encoding, which is always UTF-8 or a part of it. */
  const readEncoded = (): RailsValue => {
    const value = read()
    for (let left = readLong(); left > 0; left -= 1) {
      read()
      read()
    }
    return value
  }
  const readers: Readonly<Record<string, () => RailsValue>> = {
    '0': () => null,
    T: () => true,
    F: () => false,
    i: readLong,
    l: () => kept(readInteger()),
    ':': readSymbol,
    ';': () => linked(symbols),
    '@': () => linked(objects),
    I: readEncoded,
    '"': () => kept(readText()),
    f: () => kept(Number(readText().replace('inf', 'Infinity'))),
    '[': readList,
    '{': readHash,
  }
  const read = (): RailsValue => {
    const type = String.fromCharCode(readByte())
    const reader = readers[type]
    if (reader === undefined)
      throw new TypeError(`Marshal's type ${JSON.stringify(type)} is not read.`)
    return reader()
  }
  return read()
}
