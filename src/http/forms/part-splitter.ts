import type { InvalidInputError } from '../../errors/errors.ts'
import type { Sink } from './sink.ts'
import { unreadableForm } from './unreadable-form.ts'

/** Bytes of the head of a part. */
const MAX_HEAD_BYTES = 16 * 1024
/** Bytes before the first part. */
const MAX_PREAMBLE_BYTES = 64 * 1024
/** Spaces after a boundary. No client sends any, but a mail gateway may add some. */
const MAX_PADDING_BYTES = 100

/**
 * Splits the pieces of a form into its parts (RFC 2046, 5.1.1), and writes the bytes of each part
 * to the sink that `open` returns for its head. Memory holds only a head, or what may be the
 * beginning of a boundary. After the first error the rest of the piece is not read.
 */
export class PartSplitter implements Sink {
  readonly #delimiter: Buffer
  readonly #open: (head: string) => Sink
  #state: 'preamble' | 'head' | 'body' | 'epilogue' = 'preamble'
  /**
   * Bytes that the next piece continues. A form begins with a boundary, as if a line had ended
   * before it.
   */
  #rest: Buffer = Buffer.from('\r\n')
  #preambleBytes = 0
  #part: Sink | null = null
  /**
   * Bytes at the start of a body that belong to its head. Some clients end the head of an empty
   * body by the boundary.
   */
  #headEnd = 0
  /** Bytes of an unfinished head that were searched for its end. */
  #searched = 0

  constructor(boundary: string, open: (head: string) => Sink) {
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1')
    this.#open = open
  }

  write(piece: Uint8Array): void {
    if (this.#state === 'epilogue') return
    const buffer = Buffer.concat([this.#rest, piece])
    for (let at: number | null = 0; at !== null;) {
      this.#rest = buffer.subarray(at)
      at = this.#read(buffer, at)
    }
  }

  end(): void {
    if (this.#state !== 'epilogue') throw invalidForm('its last boundary is missing')
  }

  /** Returns the position to go on from. null: the next piece is needed. */
  #read(buffer: Buffer, at: number): number | null {
    if (this.#state === 'epilogue') return null
    return this.#state === 'head' ? this.#readHead(buffer, at) : this.#readBody(buffer, at)
  }

  #readHead(buffer: Buffer, at: number): number | null {
    const end = buffer.indexOf('\r\n\r\n', at + this.#searched, 'latin1')
    if ((end === -1 ? buffer.length : end) - at > MAX_HEAD_BYTES)
      throw invalidForm(`a part has a head of more than ${MAX_HEAD_BYTES} bytes`)
    this.#searched = end === -1 ? Math.max(0, buffer.length - at - 3) : 0
    if (end === -1) return null
    const head = buffer.subarray(at, end)
    if (head.includes(this.#delimiter)) throw invalidForm('a part has a head without an end')
    this.#part = this.#open(head.toString('latin1'))
    this.#state = 'body'
    this.#headEnd = 2
    return end + 2
  }

  #readBody(buffer: Buffer, at: number): number | null {
    const { found, kind, end } = findDelimiter(buffer, this.#delimiter, at)
    if (kind === 'unknown') {
      if (found <= at + this.#headEnd) return null
      this.#passOn(buffer, at, found)
      this.#rest = buffer.subarray(found)
      return null
    }
    this.#passOn(buffer, at, found)
    this.#part?.end()
    this.#part = null
    this.#state = kind === 'last' ? 'epilogue' : 'head'
    return end
  }

  #passOn(buffer: Buffer, from: number, to: number): void {
    if (this.#state === 'preamble' && (this.#preambleBytes += to - from) > MAX_PREAMBLE_BYTES)
      throw invalidForm('its boundary does not come')
    const start = from + this.#headEnd
    if (to > start) this.#part?.write(buffer.subarray(start, to))
    this.#headEnd = 0
  }
}

interface FoundDelimiter {
  readonly found: number
  /** 'unknown': the next piece decides whether the bytes from `found` are a delimiter. */
  readonly kind: 'part' | 'last' | 'unknown'
  /** Position after the delimiter and its spaces. */
  readonly end: number
}

/** Finds the next delimiter, or the position from which one may begin. */
function findDelimiter(buffer: Buffer, delimiter: Buffer, from: number): FoundDelimiter {
  for (
    let found = buffer.indexOf(delimiter, from);
    found !== -1;
    found = buffer.indexOf(delimiter, found + 1)
  ) {
    const end = found + delimiter.length
    const after = buffer.toString('latin1', end, end + MAX_PADDING_BYTES)
    if (after.startsWith('--')) return { found, kind: 'last', end }
    const padding = /^[ \t]*(?=\r\n)/.exec(after)?.[0]
    if (padding !== undefined) return { found, kind: 'part', end: end + padding.length }
    if (after.length < MAX_PADDING_BYTES && /^(-|[ \t]*\r?)$/.test(after))
      return { found, kind: 'unknown', end }
  }
  return {
    found: Math.max(from, buffer.length - delimiter.length + 1),
    kind: 'unknown',
    end: buffer.length,
  }
}

const invalidForm = (why: string): InvalidInputError =>
  unreadableForm(`The form cannot be read: ${why}. None of it was kept.`)
