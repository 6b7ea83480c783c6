import { createReadStream, createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createMd5 } from '../blobs/md5-hash.ts'
import { getExtension } from '../blobs/filename.ts'
import {
  isDiskFull,
  toDiskFullError,
  throwTemporaryFolderError,
  createTemporaryFolder,
} from '../blobs/temporary-folder.ts'
import { trace } from '../diagnostics/tracing.ts'
import { ConfigurationError, type ErrorDetails } from '../errors/errors.ts'
import type { ImageProcessor, Transformation } from '../images/image-processor.ts'
import { readStaged } from '../staging/chunks.ts'
import type { FileRow } from '../staging/file-rows.ts'
import type { DelayedContext, DelayedDefinition } from './context.ts'

/** What is to be sent: the staged bytes, or what was made of them. */
export interface FinalBytes {
  readonly filename: string
  readonly byteSize: number
  readonly checksum: string
  readonly contentType: string
  open(): AsyncIterable<Uint8Array>
  /** Removes the temporary file. */
  dispose(): Promise<void>
}

/** The staged bytes as they are; with `variantInfo`, the image that is made of them, in a temporary file. */
export async function createFinalBytes(
  delayed: DelayedContext,
  { variantInfo }: DelayedDefinition,
  file: FileRow,
  details: ErrorDetails,
  signal: AbortSignal,
): Promise<FinalBytes> {
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
  { filename, contentType, open }: Pick<FinalBytes, 'filename' | 'contentType' | 'open'>,
  details: ErrorDetails,
  signal: AbortSignal,
): Promise<FinalBytes> {
  const failed = throwTemporaryFolderError(filename, details)
  const folder = await createTemporaryFolder().catch(failed)
  try {
    const input = join(folder.path, 'input')
    const output = join(folder.path, 'output')
    await pipeline(open(), createWriteStream(input), { signal }).catch(failed)
    const made = await trace('transform', { filename, transformation }, () =>
      images.transform(input, output, transformation, { signal, details }),
    ).catch(async (error: unknown) => {
      // A processor cannot tell a full disk from a broken image, which fails for good.
      throw (await isDiskFull(folder.path)) ? toDiskFullError(filename, details, error) : error
    })
    const hash = createMd5()
    for await (const chunk of createReadStream(output)) hash.update(chunk as Buffer)
    const suffix = getExtension(filename)
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
