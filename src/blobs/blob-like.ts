import { toByteStream } from './byte-stream.ts'

/**
 * The members of a `Blob` or `File` that are used here. Servers, test environments and polyfills
 * have classes of their own.
 */
export interface BlobLike {
  readonly size: number
  readonly type: string
  /** Name of a `File`. */
  readonly name?: string
  slice(start?: number, end?: number): BlobLike
  arrayBuffer(): Promise<ArrayBuffer>
  stream?(): unknown
}

/** Returns true for a `Blob` or `File` of any library. */
export function isBlobLike(value: unknown): value is BlobLike {
  if (typeof value !== 'object' || value === null) return false
  const { size, type, slice, arrayBuffer }: Partial<Record<keyof BlobLike, unknown>> = value
  return (
    typeof size === 'number' &&
    typeof type === 'string' &&
    typeof slice === 'function' &&
    typeof arrayBuffer === 'function'
  )
}

const BLOB_SLICE_BYTES = 1 << 20

/**
 * Reads a blob piece by piece. Node's own are read in slices, because their `stream()` holds far
 * more bytes in memory.
 */
export async function* readBlob(blob: BlobLike): AsyncGenerator<Uint8Array> {
  const stream = blob instanceof Blob ? null : toByteStream(blob.stream?.())
  if (stream !== null) return yield* stream
  for (let start = 0; start < blob.size; start += BLOB_SLICE_BYTES)
    yield new Uint8Array(await blob.slice(start, start + BLOB_SLICE_BYTES).arrayBuffer())
}

/**
 * Returns true when a file without bytes means that a file input was left empty. Browsers send it
 * without a name. Next's server actions name it 'undefined', and `@whatwg-node/fetch` (GraphQL
 * Yoga) names it after its field.
 */
export function isEmptyInput(
  file: { readonly name: string; readonly type: string; readonly size: number },
  attachment: string | undefined,
): boolean {
  const { name, type, size } = file
  if (size > 0) return false
  if (name === '') return true
  const field = name.replace(/\[\]$/, '')
  const isNameOfField =
    attachment !== undefined &&
    (field === attachment || field.endsWith(`[${attachment}]`) || field.endsWith(`.${attachment}`))
  return type === 'application/octet-stream' && (name === 'undefined' || isNameOfField)
}
