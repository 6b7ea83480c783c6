import type { Readable } from 'node:stream'
import { InvalidInputError } from '../../errors.ts'
import { messageOf } from '../../message.ts'
import { bodyOf, headerOf, type FormRequest } from '../body.ts'
import { fieldReader } from './fields.ts'
import { fileReader, type FormFile } from './files.ts'
import { headerParameters } from './header-parameters.ts'
import { limitsOf, type FormLimits } from './limits.ts'
import { readHead } from './part-head.ts'
import { partsOf } from './parts.ts'
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
export async function readMultipart(
  request: FormRequest,
  given: FormLimits,
  handlers: FormHandlers,
): Promise<void> {
  const limits = limitsOf(given)
  const { promise: failed, reject: fail } = Promise.withResolvers<never>()
  failed.catch(() => undefined)
  const stopped = new AbortController()
  const flow = {
    pause: () => void source.pause(),
    resume: () => void (stopped.signal.aborted || source.resume()),
  }
  const fields = fieldReader(limits, handlers.field)
  const files = fileReader(limits, flow, handlers.file, fail)
  const open = (text: string): Sink => {
    const head = readHead(text)
    return decodePart(
      head.transferEncoding,
      head.filename === undefined ? fields.open(head) : files.open(head),
    )
  }
  const type = headerOf(request, 'content-type')
  const form = formOf(type, (boundary) => partsOf(boundary, open), fields.urlencoded)
  const source = bodyOf(request)
  try {
    await Promise.race([feed(source, form, stopped.signal), failed])
    await Promise.race([files.taken(), failed])
  } catch (error) {
    fail(error)
    stopped.abort()
    await files.abort(error)
    throw error
  }
}

/** Characters of a boundary: RFC 2046 allows 70. To look for a very long one in bytes that nearly match holds the process. */
const LONGEST_BOUNDARY = 200

/** What reads a body of this Content-Type. Throws InvalidInputError. */
function formOf(
  type: string,
  multipart: (boundary: string) => Sink,
  urlencoded: (charset: string | undefined) => Sink,
): Sink {
  const [bare = ''] = type.split(';')
  const parameters = headerParameters(type)
  if (/^\s*application\/x-www-form-urlencoded\s*$/i.test(bare))
    return urlencoded(parameters.get('charset'))
  const boundary = parameters.get('boundary') ?? ''
  const hasBoundary = boundary !== '' && boundary.length <= LONGEST_BOUNDARY
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
function feed(source: Readable, form: Sink, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      source.off('data', take)
      source.pause()
    }
    const breakOff = (error: Error): void => reject(brokenOff(error))
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

function brokenOff(error: unknown): InvalidInputError {
  return new InvalidInputError(
    `The form broke off before its end: ${messageOf(error)}. Nothing was kept of it.`,
    {
      cause: error,
      publicMessage: 'The form did not arrive whole. Send it again.',
    },
  )
}
