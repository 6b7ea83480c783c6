import type { Readable } from 'node:stream'
import busboy from 'busboy'
import { FormLimitError, InvalidInputError } from '../../errors.ts'
import { messageOf } from '../../message.ts'
import { sizeText } from '../../public-message.ts'
import { turns } from '../../turns.ts'
import { bodyOf, isRead, type FormRequest } from '../body.ts'

/** What a form may hold. Sizes of files are their attachments' own limits. */
export interface FormLimits {
  /** How many fields that are no files. Default 1000. */
  readonly fields?: number
  /** How many files. Default 100. */
  readonly files?: number
  /** Bytes of one field. Default 1 MB. */
  readonly fieldSize?: number
  /** Bytes of all fields. Default 10 MB. */
  readonly fieldsSize?: number
  /** Brackets in a name. Default 10. */
  readonly depth?: number
}

const defaults: Required<FormLimits> = { fields: 1000, files: 100, fieldSize: 1024 ** 2, fieldsSize: 10 * 1024 ** 2, depth: 10 }
const LONGEST_NAME = 500
/** Files that are staged at once: small ones come faster than a database takes them. */
const PARALLEL = 4

/** A file as it streams in. */
export interface FormFile {
  readonly name: string
  readonly filename: string
  readonly contentType: string
  readonly io: AsyncIterable<Uint8Array>
}
export interface FormHandlers {
  /** May throw. */
  field(name: string, value: string): void
  /** Reads `io` to its end, or rejects: then the form is read no further. */
  file(file: FormFile): Promise<void>
}

/**
 * Reads a form as it streams in: nothing is held but what is being staged, and a client is read as slowly as the database
 * takes it. Rejects, once all handlers have ended, with the first thing that went wrong; the rest of the request is then
 * swallowed, so that a browser which is still sending gets the answer.
 */
export async function readMultipart(request: FormRequest, given: FormLimits, handlers: FormHandlers): Promise<void> {
  const limits = { ...defaults, ...given }
  const parser = parserOf(request, limits)
  const source = bodyOf(request)
  const { promise: failed, reject: fail } = Promise.withResolvers<never>()
  failed.catch(() => undefined)
  const work = new Set<Promise<void>>()
  try {
    try {
      listen(parser, limits, handlers, work, fail)
      await Promise.race([parsed(source, parser), failed])
      await Promise.race([Promise.all(work), failed])
    } finally {
      parser.destroy()
    }
  } catch (error) {
    fail(error)
    source.removeAllListeners('data').resume()
    await Promise.allSettled(work)
    throw error
  }
}

function broken(error: unknown): InvalidInputError {
  return new InvalidInputError(`The form broke off before its end: ${messageOf(error)}. Nothing was kept of it.`, {
    cause: error,
    publicMessage: 'The form did not arrive whole. Send it again.',
  })
}

const headerOf = ({ headers }: FormRequest, name: string): string => {
  const value = headers instanceof Headers ? headers.get(name) : headers[name]
  return String(value ?? '')
}

function parserOf(request: FormRequest, limits: Required<FormLimits>): busboy.Busboy {
  try {
    return busboy({
      headers: { 'content-type': headerOf(request, 'content-type') },
      defParamCharset: 'utf8',
      limits: { fields: limits.fields, files: limits.files, fieldSize: limits.fieldSize, fieldNameSize: LONGEST_NAME, headerPairs: 50 },
    })
  } catch (error) {
    // A parser of JSON may have read it before.
    if (!isRead(request)) bodyOf(request).resume()
    throw new InvalidInputError(`This is no form that can be read (${messageOf(error)}): send multipart/form-data.`, { cause: error })
  }
}

/** Feeds the parser no faster than it takes. Resolves at the end of the form. */
function parsed(source: Readable, parser: busboy.Busboy): Promise<void> {
  return new Promise((resolve, reject) => {
    const breakOff = (error: Error): void => reject(broken(error))
    parser.on('close', resolve)
    parser.on('error', breakOff)
    source.on('error', breakOff)
    source.on('close', () => {
      if (!source.readableEnded) breakOff(new Error('the connection ended'))
    })
    source.on('end', () => parser.end())
    source.on('data', (chunk: Uint8Array) => {
      if (parser.write(chunk)) return
      source.pause()
      parser.once('drain', () => source.resume())
    })
  })
}

/** What happens in the parser goes to the handlers; files that are being handled are in `work`. */
function listen(
  parser: busboy.Busboy,
  limits: Required<FormLimits>,
  handlers: FormHandlers,
  work: Set<Promise<void>>,
  fail: (error: unknown) => void,
): void {
  const { take, give } = turns(PARALLEL)
  const tooMany = (what: string, option: keyof FormLimits) => () =>
    fail(
      new FormLimitError(`The form has more ${what} than the ${limits[option]} allowed (limits.${option}).`, {
        publicMessage: `The form has more than ${limits[option]} ${what}. Send fewer at once.`,
      }),
    )
  let fieldsSize = 0
  const checkName = (name: string): string => {
    if (name.length >= LONGEST_NAME || name.split('[').length - 1 > limits.depth)
      throw new FormLimitError(`The name ${JSON.stringify(name.slice(0, 50))}… is too long, or nested deeper than ${limits.depth}.`)
    return name
  }
  const guarded =
    <A extends readonly unknown[]>(run: (...args: A) => void) =>
    (...args: A): void => {
      try {
        run(...args)
      } catch (error) {
        fail(error)
      }
    }
  parser.on('fieldsLimit', tooMany('fields', 'fields'))
  parser.on('filesLimit', tooMany('files', 'files'))
  parser.on(
    'field',
    guarded((given: string | undefined, value, { valueTruncated }) => {
      // An input without a name is for the page alone.
      if (given === undefined || given === '') return
      const name = checkName(given)
      fieldsSize += Buffer.byteLength(value)
      if (valueTruncated)
        throw new FormLimitError(`${name} is longer than the ${limits.fieldSize} bytes allowed (limits.fieldSize).`, {
          publicMessage: `A field of the form is longer than ${sizeText(limits.fieldSize)}. Shorten it.`,
        })
      if (fieldsSize > limits.fieldsSize)
        throw new FormLimitError(`The fields of the form are longer than the ${limits.fieldsSize} bytes allowed (limits.fieldsSize).`, {
          publicMessage: `The form is longer than ${sizeText(limits.fieldsSize)}, files not counted. Shorten it.`,
        })
      handlers.field(name, value)
    }),
  )
  const handle = async (name: string | undefined, io: Readable, info: { filename?: string; mimeType: string }): Promise<void> => {
    if (name === undefined || name === '') throw new InvalidInputError('A file of the form has no name: its input needs one.')
    const checked = checkName(name)
    await take()
    try {
      const file = await named(io, info.filename)
      if (file !== null) await handlers.file({ ...file, name: checked, contentType: info.mimeType })
    } finally {
      give()
    }
  }
  parser.on('file', (name: string | undefined, io, info: { filename?: string; mimeType: string }) => {
    // A stream that nobody reads yet may end badly before somebody does.
    io.on('error', () => undefined)
    const one: Promise<void> = handle(name, io, info)
      .catch((error: unknown) => {
        fail(error)
        io.resume()
      })
      .finally(() => work.delete(one))
    work.add(one)
  })
}

/** null: an input for a file that was left empty. */
async function named(io: Readable, filename: string | undefined): Promise<Pick<FormFile, 'filename' | 'io'> | null> {
  // Browsers escape what would end the header's quotes, and nothing else.
  if (filename !== undefined && filename !== '') return { filename: filename.replaceAll(/%(?:22|0D|0A)/g, decodeURIComponent), io }
  const pieces = io[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  const first = await pieces.next()
  if (first.done === true) return null
  const all = async function* (): AsyncGenerator<Uint8Array> {
    for (let next: IteratorResult<Uint8Array> = first; next.done !== true; next = await pieces.next()) yield next.value
  }
  return { filename: 'file', io: all() }
}
