import { announce } from '../attached/direct-upload.ts'
import { signBlob } from '../attached/paths.ts'
import { parseMetadata } from '../blobs/blob-rows.ts'
import { Answered, failure, json } from './answer.ts'
import { allow } from './authorize.ts'
import { jsonIn } from './body.ts'
import type { HttpContext } from './context.ts'
import type { Params } from './route.ts'
import { slotIn } from './slot.ts'

const LONGEST = 64 * 1024

/** Rails' `POST /direct_uploads`, as its browser client speaks it; with a token, for one attachment and within its limits. */
export async function createDirectUpload(
  context: HttpContext,
  request: Request,
  { token }: Params,
): Promise<Response> {
  const slot = token === undefined ? null : slotIn(context, token)
  await allow(context, request, { action: 'upload', ...(slot === null ? {} : { name: slot.name }) })
  // A page of another site can send a form, but no JSON, without being asked.
  if (!/^application\/json\b/i.test(request.headers.get('content-type') ?? ''))
    throw new Answered(failure(415, 'The Content-Type must be application/json.', 'INVALID_INPUT'))
  const {
    filename,
    content_type: contentType,
    byte_size: byteSize,
    checksum,
    metadata,
  } = blobIn(await jsonIn(request, LONGEST))
  const definition = slot?.definition
  const keyPrefix = typeof definition?.keyPrefix === 'string' ? definition.keyPrefix : undefined
  const { blob, url, headers } = await announce(
    context,
    definition?.service ?? context.defaultService,
    {
      filename: textOf(filename),
      byteSize:
        typeof byteSize === 'string' && /^\d+$/.test(byteSize)
          ? Number(byteSize)
          : typeof byteSize === 'number'
            ? byteSize
            : NaN,
      checksum: textOf(checksum),
      contentType: typeof contentType === 'string' ? contentType : undefined,
      metadata: isObject(metadata) ? metadata : undefined,
    },
    { limits: definition?.limits ?? { maxSize: context.maxSize }, keyPrefix, name: slot?.name },
  )
  const id = Number(blob.id)
  return json(200, {
    id: Number.isSafeInteger(id) ? id : blob.id,
    key: blob.key,
    filename: blob.filename,
    content_type: blob.contentType,
    metadata: parseMetadata(blob.metadata),
    service_name: blob.serviceName,
    byte_size: blob.byteSize,
    checksum: blob.checksum,
    created_at: blob.createdAt,
    signed_id: signBlob(context, blob.id),
    direct_upload: { url, headers },
  })
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

function blobIn(body: unknown): Record<string, unknown> {
  const blob = isObject(body) ? body['blob'] : undefined
  if (!isObject(blob))
    throw new Answered(failure(400, 'The body must be { "blob": { … } }.', 'INVALID_INPUT'))
  return blob
}
