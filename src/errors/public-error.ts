import { randomBytes } from 'node:crypto'
import { ActiveStorageError } from './errors.ts'
import { GENERIC_MESSAGE } from './public-message.ts'

/** What a visitor may be told of an error. */
export interface PublicError {
  readonly statusCode: number
  /** The error's `code`; 'INTERNAL' for an error that is not the library's. */
  readonly code: string
  /** `publicMessage`, or one fixed sentence. */
  readonly message: string
  /** Finds the line in the log: `message` ends with it, and so should that line. null: the visitor can mend the error. */
  readonly reference: string | null
}

/**
 * What may be told to a visitor, of whatever was thrown: an error of the library's by its `publicMessage`, any other by one
 * fixed sentence. With a status of 500 or more, the sentence ends with a reference; write the error to the log beside it.
 *
 * @example
 * import { publicErrorOf } from 'activestorage-delayed'
 *
 * function answer(error: unknown): Response {
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
    ...(statusCode < 500
      ? { message: publicMessage, reference: null }
      : appendReference(publicMessage)),
  }
}

/** Short enough to be read out on the telephone, and without letters that look alike. */
export function createReference(): string {
  const letters = 'abcdefghjkmnpqrstuvwxyz23456789'
  return Array.from(randomBytes(8), (byte) => letters[byte % letters.length]).join('')
}

function appendReference(text: string): Pick<PublicError, 'message' | 'reference'> {
  const reference = createReference()
  return { message: `${text} Reference: ${reference}.`, reference }
}
