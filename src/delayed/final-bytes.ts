import { createReadStream, createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { md5 } from '../blobs/checksum.ts'
import { extension } from '../blobs/filename.ts'
import { isFull, noRoom, temporaryFailure, temporaryFolder } from '../blobs/temporary-folder.ts'
import { traced } from '../diagnostics.ts'
import { ConfigurationError, type ErrorDetails } from '../errors.ts'
import type { ImageProcessor, Transformation } from '../representations/image-processor.ts'
import { readStaged } from '../staging/chunks.ts'
import type { FileRow } from '../staging/file-rows.ts'
import type { Delayed, DelayedDefinition } from './definition.ts'

/** What is to be sent: the staged bytes, or what was made of them. */
export interface Bytes {
  readonly filename: string
  readonly byteSize: number
  readonly checksum: string
  readonly contentType: string
  open(): AsyncIterable<Uint8Array>
  /** Removes the temporary file. */
  dispose(): Promise<void>
}

/** The staged bytes as they are; with `variantInfo`, the image that is made of them, in a temporary file. */
export async function finalBytes(
  delayed: Delayed,
  { variantInfo }: DelayedDefinition,
  file: FileRow,
  details: ErrorDetails,
  signal: AbortSignal,
): Promise<Bytes> {
  const { filename, byteSize, checksum, contentType } = file
  const open = (): AsyncIterable<Uint8Array> => readStaged(delayed.store, file, signal)
  if (variantInfo === undefined)
    return { filename, byteSize, checksum, contentType, open, dispose: () => Promise.resolve() }
  if (delayed.images === undefined)
    throw new ConfigurationError(
      'variantInfo needs an image processor: pass images: sharp() to createActiveStorage.',
      { details },
    )
  return transformBytes(
    delayed.images,
    variantInfo,
    { filename, contentType, open },
    details,
    signal,
  )
}

async function transformBytes(
  images: ImageProcessor,
  transformation: Transformation,
  { filename, contentType, open }: Pick<Bytes, 'filename' | 'contentType' | 'open'>,
  details: ErrorDetails,
  signal: AbortSignal,
): Promise<Bytes> {
  const failed = temporaryFailure(filename, details)
  const folder = await temporaryFolder().catch(failed)
  try {
    const input = join(folder.path, 'input')
    const output = join(folder.path, 'output')
    await pipeline(open(), createWriteStream(input), { signal }).catch(failed)
    const made = await traced('transform', { filename, transformation }, () =>
      images.transform(input, output, transformation, { signal, details }),
    ).catch(async (error: unknown) => {
      // A processor cannot tell a full disk from a broken image, which fails for good.
      throw (await isFull(folder.path)) ? noRoom(filename, details, error) : error
    })
    const hash = md5()
    for await (const chunk of createReadStream(output)) hash.update(chunk as Buffer)
    const suffix = extension(filename)
    const base = suffix === '' ? filename : filename.slice(0, -suffix.length)
    const keepsName = made.contentType === contentType && suffix !== ''
    return {
      filename: keepsName ? filename : `${base}.${made.extension}`,
      byteSize: (await stat(output)).size,
      checksum: hash.digest(),
      contentType: made.contentType,
      open: () => createReadStream(output),
      dispose: folder.remove,
    }
  } catch (error) {
    await folder.remove()
    throw error
  }
}
