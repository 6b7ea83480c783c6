import { toByteStream } from './byte-stream.ts'

/** What a `Blob` or `File` has, of whatever library: servers, test environments and polyfills bring their own. */
export interface BlobLike {
  readonly size: number
  readonly type: string
  /** Of a `File`. */
  readonly name?: string
  slice(start?: number, end?: number): BlobLike
  arrayBuffer(): Promise<ArrayBuffer>
  stream?(): unknown
}

export function isBlobLike(value: unknown): value is BlobLike {
  if (typeof value !== 'object' || value === null) return false
  const { size, type, slice, arrayBuffer } = value as Partial<BlobLike>
  return (
    typeof size === 'number' &&
    typeof type === 'string' &&
    typeof slice === 'function' &&
    typeof arrayBuffer === 'function'
  )
}

const BLOB_SLICE_BYTES = 1 << 20

/** The bytes, a piece at a time. Those of Node's own are not taken from `stream()`, which holds far more in memory than what is read. */
export async function* readBlob(blob: BlobLike): AsyncGenerator<Uint8Array> {
  const stream = blob instanceof Blob ? null : toByteStream(blob.stream?.())
  if (stream !== null) return yield* stream
  for (let start = 0; start < blob.size; start += BLOB_SLICE_BYTES)
    yield new Uint8Array(await blob.slice(start, start + BLOB_SLICE_BYTES).arrayBuffer())
}

/**
 * Whether a file without bytes stands for a file input that was left empty. Browsers send such a one without a name; Next's
 * server actions call it 'undefined', and `@whatwg-node/fetch` (GraphQL Yoga) by the name of its field.
 */
export function isEmptyInput(
  file: { readonly name: string; readonly type: string; readonly size: number },
  attachment: string | undefined,
): boolean {
  const { name, type, size } = file
  if (size > 0) return false
  if (name === '') return true
  const field = name.replace(/\[\]$/, '')
  const isOfField =
    attachment !== undefined &&
    (field === attachment || field.endsWith(`[${attachment}]`) || field.endsWith(`.${attachment}`))
  return type === 'application/octet-stream' && (name === 'undefined' || isOfField)
}
