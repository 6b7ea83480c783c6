import { bytesOf } from '../blobs/incoming.ts'
import { InvalidInputError, type ErrorDetails } from '../errors.ts'

/** The body of a request, as its pieces come. One that breaks off is told as such; one that is given up is read no further. */
export async function* bytesIn(request: Request, details: ErrorDetails): AsyncGenerator<Uint8Array> {
  const { body } = request
  if (body === null) return
  yield* bytesOf({ filename: details.filename ?? 'The body', open: () => body }, details, undefined)
}

/** A small JSON body. Throws InvalidInputError on what is none, or is too long. */
export async function jsonIn(request: Request, limit: number): Promise<unknown> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of bytesIn(request, {})) {
    size += chunk.length
    if (size > limit) throw new InvalidInputError(`The body is longer than ${limit} bytes.`)
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString()) as unknown
  } catch (error) {
    throw new InvalidInputError('The body is no JSON.', { cause: error })
  }
}
