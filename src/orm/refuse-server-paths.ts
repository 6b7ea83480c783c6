import { isBlobLike } from '../blobs/blob-like.ts'
import { InvalidInputError } from '../errors/errors.ts'

/**
 * Records are often made of what a request brings: `User.create(req.body)`. Parameters that name a file of the server would
 * hand it to whoever sent them. Throws InvalidInputError.
 */
export function refuseServerPaths(name: string, input: unknown): void {
  if (typeof input !== 'object' || input === null || isBlobLike(input) || ArrayBuffer.isView(input))
    return
  const { path, filepath, files } = input as Readonly<Record<string, unknown>>
  if (typeof path === 'string' || typeof filepath === 'string')
    throw new InvalidInputError(
      `${name}: a record does not take { path }, for parameters of a request could name any file of the server. Open a file of your own: { io: createReadStream(path), filename }.`,
      { details: { attachment: name } },
    )
  for (const each of Array.isArray(input) ? (input as unknown[]) : []) refuseServerPaths(name, each)
  if (files !== undefined)
    refuseServerPaths(name, Array.isArray(files) ? files : Object.values(files ?? {}))
}
