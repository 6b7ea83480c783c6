import type { Readable } from 'node:stream'
import { ActiveStorageError, InvalidInputError } from '../../errors/errors.ts'
import { messageOf } from '../../errors/message.ts'
import { openRequestBody, readHeader, type FormRequest } from '../request-body.ts'
import { FormFieldReader } from './field-reader.ts'
import { FormFileReader, type FormFile } from './file-reader.ts'
import { parseHeaderParameters } from './header-parameters.ts'
import { completeFormLimits, type FormLimits } from './limits.ts'
import { parsePartHead } from './part-head.ts'
import { PartSplitter } from './part-splitter.ts'
import type { Sink } from './sink.ts'
import { decodePart } from './transfer-encodings.ts'

/** Callbacks for the fields and files of a form. */
export interface FormHandlers {
  /** Takes a field. May throw. */
  field(name: string, value: string): void
  /** Reads `io` to its end. Reading of the form stops when it rejects. */
  file(file: FormFile): Promise<void>
}

/**
 * Reads a multipart or urlencoded form as a stream: memory holds no more than the pieces that
 * handlers work on, and a client is read as slowly as the database stores its files. Rejects with
 * the first error, or the signal's reason, once all handlers have ended. The rest of the request
 * stays unread.
 */
export async function readForm(
  request: FormRequest,
  limits: FormLimits,
  handlers: FormHandlers,
  signal?: AbortSignal,
): Promise<void> {
  const completeLimits = completeFormLimits(limits)
  const { promise: failed, reject: fail } = Promise.withResolvers<never>()
  failed.catch(() => undefined)
  const stopped = new AbortController()
  const flow = {
    pause: () => void source.pause(),
    resume: () => void (stopped.signal.aborted || source.resume()),
  }
  const fields = new FormFieldReader(completeLimits, (name, value) => handlers.field(name, value))
  const files = new FormFileReader(completeLimits, flow, (file) => handlers.file(file), fail)
  const open = (text: string): Sink => {
    const head = parsePartHead(text)
    return decodePart(
      head.transferEncoding,
      head.filename === undefined ? fields.open(head) : files.open(head),
    )
  }
  signal?.throwIfAborted()
  const abort = (): void => fail(signal?.reason)
  const parser = createFormParser(
    readHeader(request, 'content-type'),
    (boundary) => new PartSplitter(boundary, open),
    (charset) => fields.readUrlencoded(charset),
  )
  const source = openRequestBody(request)
  signal?.addEventListener('abort', abort, { once: true })
  try {
    await Promise.race([feedParser(source, parser, stopped.signal), failed])
    await Promise.race([files.finish(), failed])
  } catch (error) {
    fail(error)
    stopped.abort()
    await files.abort(error)
    throw error
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}

/**
 * Characters of a boundary. RFC 2046 allows 70. The search for a very long one, in bytes that
 * nearly match, would block the process.
 */
const MAX_BOUNDARY_LENGTH = 200

/** Chooses the parser for a Content-Type. Throws InvalidInputError for one that is not a form's. */
function createFormParser(
  contentType: string,
  multipart: (boundary: string) => Sink,
  urlencoded: (charset: string | undefined) => Sink,
): Sink {
  const [mediaType = ''] = contentType.split(';')
  const parameters = parseHeaderParameters(contentType)
  if (/^\s*application\/x-www-form-urlencoded\s*$/i.test(mediaType))
    return urlencoded(parameters.get('charset'))
  const boundary = parameters.get('boundary') ?? ''
  const hasBoundary = boundary !== '' && boundary.length <= MAX_BOUNDARY_LENGTH
  if (/^\s*multipart\/form-data\s*$/i.test(mediaType) && hasBoundary) return multipart(boundary)
  throw new InvalidInputError(
    `This is no form that can be read (${describeContentType(contentType, mediaType, boundary)}): send multipart/form-data.`,
    { publicMessage: 'This is no form that can be read. Send it from the page of the form.' },
  )
}

function describeContentType(contentType: string, mediaType: string, boundary: string): string {
  if (contentType === '') return 'no Content-Type'
  if (!/^\s*multipart\//i.test(mediaType)) return mediaType.trim().slice(0, 100)
  return boundary === ''
    ? `${mediaType.trim()} without a boundary`
    : `${mediaType.trim()} with a boundary of ${boundary.length} characters`
}

/**
 * Resolves at the end of the form; rejects when the request ends too early or is invalid. Reads
 * nothing after `stopped`.
 */
function feedParser(source: Readable, parser: Sink, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      source.off('data', write)
      source.pause()
    }
    const rejectTruncated = (error: Error): void =>
      reject(error instanceof ActiveStorageError ? error : truncatedForm(error))
    const write = (chunk: Uint8Array): void => {
      try {
        parser.write(chunk)
      } catch (error) {
        stop()
        reject(error)
      }
    }
    stopped.addEventListener('abort', stop)
    source.on('error', rejectTruncated)
    source.on('close', () => {
      if (!source.readableEnded) rejectTruncated(new Error('the connection ended'))
    })
    source.on('end', () => {
      try {
        resolve(parser.end())
      } catch (error) {
        reject(error)
      }
    })
    source.on('data', write)
  })
}

function truncatedForm(cause: unknown): InvalidInputError {
  return new InvalidInputError(
    `The form ended too early: ${messageOf(cause)}. None of it was kept.`,
    { cause, publicMessage: 'The form did not arrive completely. Send it again.' },
  )
}
