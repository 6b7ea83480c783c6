import { FormLimitError } from '../../errors/errors.ts'
import { formatSize } from '../../errors/public-message.ts'
import { decodePercent, decodeText } from './charsets.ts'
import { checkFieldName, createCounter, type CompleteFormLimits } from './limits.ts'
import type { PartHead } from './part-head.ts'
import type { Sink } from './sink.ts'

/** Reads the fields of a form that are not files, within its limits. */
export class FormFieldReader {
  readonly #limits: CompleteFormLimits
  readonly #take: (name: string, value: string) => void
  readonly #count: () => void
  #totalBytes = 0

  constructor(limits: CompleteFormLimits, take: (name: string, value: string) => void) {
    this.#limits = limits
    this.#take = take
    this.#count = createCounter(limits, 'fields')
  }

  /**
   * Begins a field of a multipart form. Fields without a name are skipped. Throws FormLimitError.
   */
  open({ name, charset }: PartHead): Sink {
    this.#count()
    const pieces: Uint8Array[] = []
    let size = 0
    return {
      write: (piece) => {
        size += piece.length
        if (size > this.#limits.fieldSize) throw fieldTooLong(name, this.#limits)
        pieces.push(piece)
      },
      end: () => {
        if (name !== '')
          this.#add(name, decodeText(Buffer.concat(pieces), charset, describeField(name)))
      },
    }
  }

  /** Reads a whole form without files (application/x-www-form-urlencoded). */
  readUrlencoded(charset: string | undefined): Sink {
    const maxLength = 3 * (this.#limits.fieldSize + this.#limits.nameSize)
    // Pieces of the last pair. They are joined once, at its end, because a pair may come in a
    // million pieces.
    let pair: string[] = []
    let length = 0
    const endPair = (): void => {
      this.#addPair(pair.join(''), charset)
      pair = []
      length = 0
    }
    return {
      write: (piece) => {
        const text = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
        for (const [index, part] of text.toString('latin1').split('&').entries()) {
          if (index > 0) endPair()
          pair.push(part)
          length += part.length
        }
        if (length > maxLength)
          throw fieldTooLong(pair.join('').split('=', 1)[0] ?? '', this.#limits)
      },
      end: endPair,
    }
  }

  #addPair(pair: string, charset: string | undefined): void {
    const decode = (text: string, what: string): string =>
      decodeText(decodePercent(text.replaceAll('+', ' ')), charset, what)
    const equals = pair.includes('=') ? pair.indexOf('=') : pair.length
    const name = decode(pair.slice(0, equals), 'The name of a field')
    if (name === '') return
    this.#count()
    this.#add(name, decode(pair.slice(equals + 1), describeField(name)))
  }

  #add(name: string, value: string): void {
    const { fieldSize, fieldsSize } = this.#limits
    checkFieldName(name, this.#limits)
    const bytes = Buffer.byteLength(value)
    if (bytes > fieldSize) throw fieldTooLong(name, this.#limits)
    this.#totalBytes += bytes
    if (this.#totalBytes > fieldsSize)
      throw new FormLimitError(
        `The fields of the form are longer than the ${fieldsSize} bytes allowed (limits.fieldsSize).`,
        {
          publicMessage: `The form is longer than ${formatSize(fieldsSize)}, files not counted. Shorten it.`,
        },
      )
    this.#take(name, value)
  }
}

const describeField = (name: string): string => `The field ${JSON.stringify(name.slice(0, 100))}`

function fieldTooLong(name: string, { fieldSize }: CompleteFormLimits): FormLimitError {
  return new FormLimitError(
    `${describeField(name)} is longer than the ${fieldSize} bytes allowed (limits.fieldSize).`,
    {
      publicMessage: `${describeField(name)} is longer than ${formatSize(fieldSize)}. Shorten it.`,
    },
  )
}
