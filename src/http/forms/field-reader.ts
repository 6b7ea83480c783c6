import { FormLimitError } from '../../errors/errors.ts'
import { formatSize } from '../../errors/public-message.ts'
import { decodeText, decodePercent } from './charsets.ts'
import { checkFieldName, createCounter, type CompleteFormLimits } from './limits.ts'
import type { PartHead } from './part-head.ts'
import type { Sink } from './sink.ts'

/** Takes the fields of a form within its limits. */
export interface FormFieldReader {
  /** Of a part. One without a name is left out. */
  open(head: PartHead): Sink
  /** Of a form without files (application/x-www-form-urlencoded). */
  urlencoded(charset: string | undefined): Sink
}

export function createFieldReader(
  limits: CompleteFormLimits,
  take: (name: string, value: string) => void,
): FormFieldReader {
  const count = createCounter(limits, 'fields')
  let allBytes = 0

  const add = (name: string, value: string): void => {
    checkFieldName(name, limits)
    const bytes = Buffer.byteLength(value)
    if (bytes > limits.fieldSize) throw fieldTooLong(name, limits)
    allBytes += bytes
    if (allBytes > limits.fieldsSize)
      throw new FormLimitError(
        `The fields of the form are longer than the ${limits.fieldsSize} bytes allowed (limits.fieldsSize).`,
        {
          publicMessage: `The form is longer than ${formatSize(limits.fieldsSize)}, files not counted. Shorten it.`,
        },
      )
    take(name, value)
  }

  return {
    open({ name, charset }) {
      count()
      const pieces: Uint8Array[] = []
      let size = 0
      return {
        write(piece) {
          size += piece.length
          if (size > limits.fieldSize) throw fieldTooLong(name, limits)
          pieces.push(piece)
        },
        end() {
          if (name !== '')
            add(name, decodeText(Buffer.concat(pieces), charset, describeField(name)))
        },
      }
    },
    urlencoded(charset) {
      const decode = (text: string, what: string): string =>
        decodeText(decodePercent(text.replaceAll('+', ' ')), charset, what)
      const longest = 3 * (limits.fieldSize + limits.nameSize)
      // Of the last pair. Joined once, at its end: a pair may come in a million pieces.
      let rest: string[] = []
      let length = 0
      const addPair = (pair: string): void => {
        const equals = pair.includes('=') ? pair.indexOf('=') : pair.length
        const name = decode(pair.slice(0, equals), 'The name of a field')
        if (name === '') return
        count()
        add(name, decode(pair.slice(equals + 1), describeField(name)))
      }
      return {
        write(piece) {
          for (const [index, text] of Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
            .toString('latin1')
            .split('&')
            .entries()) {
            if (index > 0) {
              addPair(rest.join(''))
              rest = []
              length = 0
            }
            rest.push(text)
            length += text.length
          }
          if (length > longest) throw fieldTooLong(rest.join('').split('=', 1)[0] ?? '', limits)
        },
        end: () => addPair(rest.join('')),
      }
    },
  }
}

const describeField = (name: string): string => `The field ${JSON.stringify(name.slice(0, 100))}`

function fieldTooLong(name: string, limits: CompleteFormLimits): FormLimitError {
  return new FormLimitError(
    `${describeField(name)} is longer than the ${limits.fieldSize} bytes allowed (limits.fieldSize).`,
    {
      publicMessage: `${describeField(name)} is longer than ${formatSize(limits.fieldSize)}. Shorten it.`,
    },
  )
}
