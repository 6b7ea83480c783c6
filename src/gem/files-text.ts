/** A part of the gem's `files` text: some bytes of a file, or its name, which ends the file. */
export type Piece =
  | { readonly kind: 'bytes'; readonly data: Buffer }
  | { readonly kind: 'file'; readonly filename: string; readonly contentType: string | undefined }

/**
 * An error for text that is not in the gem's form,
 * `[{"io":"base64","filename":"…","content_type":"…"}, …]` in any order of keys.
 */
export class MalformedFilesError extends Error {
  constructor(what: string) {
    super(`The files of this row cannot be read: ${what}.`)
    this.name = 'MalformedFilesError'
  }
}

const MAX_TEXT = 65_536
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', f: '\f' }

/**
 * Reads the gem's JSON piece by piece, so that a row of hundreds of megabytes needs the memory of
 * one slice. Yields the bytes of each file as they are decoded, then its name. Throws
 * MalformedFilesError.
 */
export async function* parseFilesText(slices: AsyncIterable<string>): AsyncGenerator<Piece> {
  const input = new FilesTextReader(slices)
  await input.expect('[')
  if (await input.accept(']')) return input.end()
  do {
    let filename: string | undefined
    let contentType: string | undefined
    let io = false
    await input.expect('{')
    if (!(await input.accept('}'))) {
      do {
        const key = await input.text()
        await input.expect(':')
        if (key === 'io') {
          io = true
          yield* input.base64()
        } else {
          const value = await input.textOrNull()
          if (key === 'filename') filename = value ?? ''
          if (key === 'content_type') contentType = value ?? undefined
        }
      } while (await input.accept(','))
      await input.expect('}')
    }
    if (!io || filename === undefined)
      throw new MalformedFilesError('a file without io or filename')
    yield { kind: 'file', filename, contentType }
  } while (await input.accept(','))
  await input.expect(']')
  return input.end()
}

/** A reader of one character at a time, over slices of any size. */
class FilesTextReader {
  readonly #slices: AsyncIterator<string>
  #buffer = ''
  #at = 0

  constructor(slices: AsyncIterable<string>) {
    this.#slices = slices[Symbol.asyncIterator]()
  }

  async #fill(): Promise<boolean> {
    while (this.#at >= this.#buffer.length) {
      const { done, value } = await this.#slices.next()
      if (done === true) return false
      this.#buffer = value
      this.#at = 0
    }
    return true
  }

  async #peek(): Promise<string> {
    while (await this.#fill()) {
      const character = this.#buffer[this.#at] ?? ''
      if (!/[ \t\r\n]/.test(character)) return character
      this.#at += 1
    }
    return ''
  }

  /** Reads the character if it comes next, after white space. Returns whether it did. */
  async accept(character: string): Promise<boolean> {
    if ((await this.#peek()) !== character) return false
    this.#at += 1
    return true
  }

  /** Reads the character. Throws MalformedFilesError if another one comes next. */
  async expect(character: string): Promise<void> {
    if (!(await this.accept(character)))
      throw new MalformedFilesError(`'${character}' was expected`)
  }

  /** Throws MalformedFilesError unless all of the text was read. */
  async end(): Promise<void> {
    if ((await this.#peek()) !== '') throw new MalformedFilesError('there is more after its end')
  }

  /** Yields the parts of a JSON string as they come, unescaped. */
  async *#string(): AsyncGenerator<string> {
    await this.expect('"')
    let pending = ''
    while (await this.#fill()) {
      const text = pending + this.#buffer.slice(this.#at)
      const start = this.#at - pending.length
      let from = 0
      for (;;) {
        const special = indexOfSpecial(text, from)
        const upTo = special < 0 ? text.length : special
        if (upTo > from) yield text.slice(from, upTo)
        if (special < 0) {
          pending = ''
          break
        }
        if (text[special] === '"') {
          this.#at = start + special + 1
          return
        }
        const length = text[special + 1] === 'u' ? 6 : 2
        if (special + length > text.length) {
          pending = text.slice(special)
          break
        }
        yield unescape(text.slice(special, special + length))
        from = special + length
      }
      this.#at = this.#buffer.length
    }
    throw new MalformedFilesError('it ends in the middle of a text')
  }

  /** Reads a JSON string of at most 65,536 characters. */
  async text(): Promise<string> {
    let text = ''
    for await (const part of this.#string()) {
      text += part
      if (text.length > MAX_TEXT) throw new MalformedFilesError('a name is longer than 64 KB')
    }
    return text
  }

  /** Reads a JSON string or null. */
  async textOrNull(): Promise<string | null> {
    if ((await this.#peek()) === '"') return this.text()
    for (const character of 'null') await this.expect(character)
    return null
  }

  /** Reads a JSON string of base64 and yields the decoded bytes in pieces. */
  async *base64(): AsyncGenerator<Piece> {
    let rest = ''
    for await (const part of this.#string()) {
      rest += part.replaceAll(/[\r\n]/g, '')
      if (/[^A-Za-z0-9+/=]/.test(rest)) throw new MalformedFilesError('its bytes are not base64')
      const whole = rest.length - (rest.length % 4)
      if (whole < 4096) continue
      yield { kind: 'bytes', data: Buffer.from(rest.slice(0, whole), 'base64') }
      rest = rest.slice(whole)
    }
    if (rest.length % 4 !== 0 || /=[^=]/.test(rest))
      throw new MalformedFilesError('its base64 is cut off')
    if (rest !== '') yield { kind: 'bytes', data: Buffer.from(rest, 'base64') }
  }
}

const SPECIAL_CHARACTERS = /["\\]/g

function indexOfSpecial(text: string, from: number): number {
  SPECIAL_CHARACTERS.lastIndex = from
  return SPECIAL_CHARACTERS.exec(text)?.index ?? -1
}

function unescape(sequence: string): string {
  if (sequence[1] !== 'u') return ESCAPES[sequence[1] ?? ''] ?? sequence[1] ?? ''
  const code = Number.parseInt(sequence.slice(2), 16)
  if (Number.isNaN(code)) throw new MalformedFilesError('an escape is cut off')
  return String.fromCharCode(code)
}
