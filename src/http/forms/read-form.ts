import type { Readable } from 'node:stream'
import { ActiveStorageError, InvalidInputError } from '../../errors/errors.ts'
import { messageOf } from '../../errors/message.ts'
import { openRequestBody, readHeader, type FormRequest } from '../request-body.ts'
import { createFieldReader } from './field-reader.ts'
import { createFileReader, type FormFile } from './file-reader.ts'
import { parseHeaderParameters } from './header-parameters.ts'
import { completeFormLimits, type FormLimits } from './limits.ts'
import { parsePartHead } from './part-head.ts'
import { createPartSplitter } from './part-splitter.ts'
import type { Sink } from './sink.ts'
import { decodePart } from './transfer-encodings.ts'

export interface FormHandlers {
  /** May throw. */
  field(name: string, value: string): void
  /** Reads `io` to its end, or rejects: then the form is read no further. */
  file(file: FormFile): Promise<void>
}

/**
 * Reads a form as it streams in: nothing is held but what is being staged, and a client is read as slowly as the database
 * takes it. Rejects, once all handlers have ended, with the first thing that went wrong; the rest of the request is left
 * where it is.
 */
export async function readForm(
  request: FormRequest,
  given: FormLimits,
  handlers: FormHandlers,
): Promise<void> {
  const limits = completeFormLimits(given)
  const { promise: failed, reject: fail } = Promise.withResolvers<never>()
  failed.catch(() => undefined)
  const stopped = new AbortController()
  const flow = {
    pause: () => void source.pause(),
    resume: () => void (stopped.signal.aborted || source.resume()),
  }
  const fields = createFieldReader(limits, handlers.field)
  const files = createFileReader(limits, flow, handlers.file, fail)
  const open = (text: string): Sink => {
    const head = parsePartHead(text)
    return decodePart(
      head.transferEncoding,
      head.filename === undefined ? fields.open(head) : files.open(head),
    )
  }
  const type = readHeader(request, 'content-type')
  const form = createFormParser(
    type,
    (boundary) => createPartSplitter(boundary, open),
    fields.urlencoded,
  )
  const source = openRequestBody(request)
  try {
    await Promise.race([feedParser(source, form, stopped.signal), failed])
    await Promise.race([files.finish(), failed])
  } catch (error) {
    fail(error)
    stopped.abort()
    await files.abort(error)
    throw error
  }
}

/** Characters of a boundary: RFC 2046 allows 70. To look for a very long one in bytes that nearly match holds the process. */
const MAX_BOUNDARY_LENGTH = 200

/** What reads a body of this Content-Type. Throws InvalidInputError. */
function createFormParser(
  type: string,
  multipart: (boundary: string) => Sink,
  urlencoded: (charset: string | undefined) => Sink,
): Sink {
  const [bare = ''] = type.split(';')
  const parameters = parseHeaderParameters(type)
  if (/^\s*application\/x-www-form-urlencoded\s*$/i.test(bare))
    return urlencoded(parameters.get('charset'))
  const boundary = parameters.get('boundary') ?? ''
  const hasBoundary = boundary !== '' && boundary.length <= MAX_BOUNDARY_LENGTH
  if (/^\s*multipart\/form-data\s*$/i.test(bare) && hasBoundary) return multipart(boundary)
  const lack =
    boundary === '' ? 'without a boundary' : `with a boundary of ${boundary.length} characters`
  const what =
    type === ''
      ? 'no Content-Type'
      : /^\s*multipart\//i.test(bare)
        ? `${bare.trim()} ${lack}`
        : bare.trim().slice(0, 100)
  throw new InvalidInputError(
    `This is no form that can be read (${what}): send multipart/form-data.`,
    {
      publicMessage: 'This is no form that can be read. Send it from the page of the form.',
    },
  )
}

/** Resolves at the end of the form; rejects where it breaks off, or cannot be read. Reads nothing after `stopped`. */
function feedParser(source: Readable, form: Sink, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      source.off('data', take)
      source.pause()
    }
    const breakOff = (error: Error): void =>
      reject(error instanceof ActiveStorageError ? error : truncatedForm(error))
    const take = (chunk: Uint8Array): void => {
      try {
        form.write(chunk)
      } catch (error) {
        stop()
        reject(error)
      }
    }
    stopped.addEventListener('abort', stop)
    source.on('error', breakOff)
    source.on('close', () => {
      if (!source.readableEnded) breakOff(new Error('the connection ended'))
    })
    source.on('end', () => {
      try {
        resolve(form.end())
      } catch (error) {
        reject(error)
      }
    })
    source.on('data', take)
  })
}

function truncatedForm(error: unknown): InvalidInputError {
  return new InvalidInputError(
    `The form broke off before its end: ${messageOf(error)}. Nothing was kept of it.`,
    {
      cause: error,
      publicMessage: 'The form did not arrive whole. Send it again.',
    },
  )
}
