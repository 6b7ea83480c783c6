import { isBlobLike } from '../blobs/blob-like.ts'
import { InvalidInputError } from '../errors/errors.ts'
import { isObject } from './object-guards.ts'

/**
 * Throws InvalidInputError for an input that names a file of the server. Records are often made
 * from a request, `User.create(req.body)`, whose sender could read any file by its path.
 */
export function refuseServerPaths(name: string, input: unknown): void {
  if (!isObject(input) || isBlobLike(input) || ArrayBuffer.isView(input)) return
  const { path, filepath, files } = input
  if (typeof path === 'string' || typeof filepath === 'string')
    throw new InvalidInputError(
      `${name}: a record takes no { path }, nor a parser's file in a folder: a request could name any file of the server. Give { io: createReadStream(file.path), filename }.`,
      { details: { attachment: name } },
    )
  for (const each of Array.isArray(input) ? input : []) refuseServerPaths(name, each)
  if (files !== undefined)
    refuseServerPaths(name, Array.isArray(files) ? files : Object.values(files ?? {}))
}
