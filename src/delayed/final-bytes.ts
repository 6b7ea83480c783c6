import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { getExtension } from '../blobs/filename.ts'
import { measureBytes } from '../blobs/md5-hash.ts'
import { TemporaryFolder } from '../blobs/temporary-folder.ts'
import { trace } from '../diagnostics/tracing.ts'
import { ConfigurationError, type ErrorDetails } from '../errors/errors.ts'
import type { ImageProcessor, Transformation } from '../images/image-processor.ts'
import { readStaged } from '../staging/chunks.ts'
import type { FileRow } from '../staging/file-rows.ts'
import { uploadErrorDetails } from './context.ts'
import type { UploadAttempt } from './upload-attempt.ts'

/** The bytes to send, and what is known about them. */
export interface FinalBytes {
  readonly filename: string
  readonly byteSize: number
  /** Base64 MD5. */
  readonly checksum: string
  readonly contentType: string
  open(): AsyncIterable<Uint8Array>
  /** Deletes the temporary file, if there is one. */
  dispose(): Promise<void>
}

/**
 * Returns the staged bytes as they are, or, with `variantInfo`, a transformed image in a temporary
 * file. Throws ConfigurationError without an image processor, and InvariableError for a broken
 * image.
 */
export async function createFinalBytes(
  { context, definition, upload, signal }: UploadAttempt,
  file: FileRow,
): Promise<FinalBytes> {
  const { variantInfo } = definition
  const { filename, byteSize, checksum, contentType } = file
  const open = (): AsyncIterable<Uint8Array> => readStaged(context.store, file, signal)
  if (variantInfo === undefined)
    return { filename, byteSize, checksum, contentType, open, dispose: () => Promise.resolve() }
  const details = uploadErrorDetails(upload, filename)
  if (context.images === undefined)
    throw new ConfigurationError(
      'variantInfo needs an image processor: pass images: sharp() to createActiveStorage.',
      { details },
    )
  const original = { filename, contentType, open }
  return transformBytes(context.images, variantInfo, original, { signal, details })
}

async function transformBytes(
  images: ImageProcessor,
  transformation: Transformation,
  { filename, contentType, open }: Pick<FinalBytes, 'filename' | 'contentType' | 'open'>,
  options: { readonly signal: AbortSignal; readonly details: ErrorDetails },
): Promise<FinalBytes> {
  const folder = await TemporaryFolder.create(filename, options.details)
  try {
    const input = await folder.write('input', open(), options.signal)
    const output = join(folder.path, 'output')
    const image = await trace('transform', { filename, transformation }, () =>
      images.transform(input, output, transformation, options),
    ).catch(async (error: unknown) => {
      // A processor cannot tell a full disk, which is retried, from a broken image, which is not.
      throw await folder.explain(error)
    })
    const { byteSize, checksum } = await measureBytes(createReadStream(output))
    const extension = getExtension(filename)
    const base = extension === '' ? filename : filename.slice(0, -extension.length)
    const isSameType = image.contentType === contentType && extension !== ''
    return {
      filename: isSameType ? filename : `${base}.${image.extension}`,
      byteSize,
      checksum,
      contentType: image.contentType,
      open: () => createReadStream(output),
      dispose: () => folder.remove(),
    }
  } catch (error) {
    await folder.remove()
    throw error
  }
}
