import { randomBytes } from 'node:crypto'
import { ActiveStorageError } from './errors.ts'
import { GENERIC_MESSAGE } from './public-message.ts'

/** The part of an error that visitors may see. */
export interface PublicError {
  /** HTTP status of the response; 500 for an error that is not the library's. */
  readonly statusCode: number
  /** The error's `code`; 'INTERNAL' for an error that is not the library's. */
  readonly code: string
  /** `publicMessage`, or one fixed sentence. */
  readonly message: string
  /**
   * Ends `message`; write it to the log beside the error. null: visitors can correct the error
   * themselves.
   */
  readonly reference: string | null
}

/**
 * Makes a public error of anything thrown: the library's errors have their `publicMessage`, all
 * others one fixed sentence. With a status of 500 or more, and for a mistake of the app, the message
 * ends with a reference; write it to the log beside the error.
 *
 * @example
 * import { publicErrorOf } from 'activestorage-delayed'
 *
 * function respond(error: unknown): Response {
 *   const { statusCode, code, message, reference } = publicErrorOf(error)
 *   if (reference !== null) console.error(reference, error)
 *   return Response.json({ error: message, code }, { status: statusCode })
 * }
 */
export function publicErrorOf(error: unknown): PublicError {
  if (!(error instanceof ActiveStorageError))
    return { statusCode: 500, code: 'INTERNAL', ...appendReference(GENERIC_MESSAGE) }
  const { statusCode, code, publicMessage } = error
  return {
    statusCode,
    code,
    ...(statusCode < 500 && !isAppMistake(error)
      ? { message: publicMessage, reference: null }
      : appendReference(publicMessage)),
  }
}

/**
 * Returns whether only the app can correct the error. An InvalidInputError without a
 * `publicMessage` of its own is about an argument, of which visitors know nothing.
 */
export const isAppMistake = (error: ActiveStorageError): boolean =>
  error.code === 'INVALID_INPUT' && !Object.hasOwn(error, 'publicMessage')

/**
 * Makes a reference that can be read out on the telephone: short, without letters that look alike.
 */
export function createReference(): string {
  const letters = 'abcdefghjkmnpqrstuvwxyz23456789'
  return Array.from(randomBytes(8), (byte) => letters[byte % letters.length]).join('')
}

function appendReference(text: string): Pick<PublicError, 'message' | 'reference'> {
  const reference = createReference()
  return { message: `${text} Reference: ${reference}.`, reference }
}
