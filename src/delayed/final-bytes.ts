import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { measureBytes } from '../blobs/md5-hash.ts'
import { getExtension } from '../blobs/filename.ts'
import { TemporaryFolder } from '../blobs/temporary-folder.ts'
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
  const folder = await TemporaryFolder.create(filename, details)
  try {
    const input = await folder.write('input', open(), signal)
    const output = join(folder.path, 'output')
    const made = await trace('transform', { filename, transformation }, () =>
      images.transform(input, output, transformation, { signal, details }),
    ).catch(async (error: unknown) => {
      // A processor cannot tell a full disk from a broken image, which fails for good.
      throw await folder.explain(error)
    })
    const { byteSize, checksum } = await measureBytes(createReadStream(output))
    const suffix = getExtension(filename)
    const base = suffix === '' ? filename : filename.slice(0, -suffix.length)
    const keepsName = made.contentType === contentType && suffix !== ''
    return {
      filename: keepsName ? filename : `${base}.${made.extension}`,
      byteSize,
      checksum,
      contentType: made.contentType,
      open: () => createReadStream(output),
      dispose: () => folder.remove(),
    }
  } catch (error) {
    await folder.remove()
    throw error
  }
}
