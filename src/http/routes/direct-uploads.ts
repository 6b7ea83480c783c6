import type { StorageContext } from '../../attached/context.ts'
import { announceDirectUpload } from '../../attached/direct-upload.ts'
import { signBlob } from '../../attached/paths.ts'
import { parseMetadata } from '../../blobs/blob-rows.ts'
import { HttpResponseError, respondError, respondJson } from '../responses.ts'
import { assertAllowed } from '../authorize.ts'
import { readJson } from '../request-body.ts'
import type { Params } from '../router.ts'
import { readAttachmentToken } from '../signed-attachment.ts'

const MAX_JSON_BYTES = 64 * 1024

/** Rails' `POST /direct_uploads`, as its browser client speaks it; with a token, for one attachment and within its limits. */
export async function createDirectUpload(
  context: StorageContext,
  request: Request,
  { token }: Params,
): Promise<Response> {
  const slot = token === undefined ? null : readAttachmentToken(context, token)
  await assertAllowed(context, request, {
    action: 'upload',
    ...(slot === null ? {} : { name: slot.name }),
  })
  // A page of another site can send a form, but no JSON, without being asked.
  if (!/^application\/json\b/i.test(request.headers.get('content-type') ?? ''))
    throw new HttpResponseError(
      respondError(415, 'The Content-Type must be application/json.', 'INVALID_INPUT'),
    )
  const {
    filename,
    content_type: contentType,
    byte_size: byteSize,
    checksum,
    metadata,
  } = readBlobObject(await readJson(request, MAX_JSON_BYTES))
  const definition = slot?.definition
  const keyPrefix = typeof definition?.keyPrefix === 'string' ? definition.keyPrefix : undefined
  const { blob, url, headers } = await announceDirectUpload(
    context,
    definition?.service ?? context.defaultService,
    {
      filename: toText(filename),
      byteSize:
        typeof byteSize === 'string' && /^\d+$/.test(byteSize)
          ? Number(byteSize)
          : typeof byteSize === 'number'
            ? byteSize
            : NaN,
      checksum: toText(checksum),
      contentType: typeof contentType === 'string' ? contentType : undefined,
      metadata: isJsonObject(metadata) ? metadata : undefined,
    },
    { limits: definition?.limits ?? { maxSize: context.maxSize }, keyPrefix, name: slot?.name },
  )
  const id = Number(blob.id)
  return respondJson(200, {
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

const isJsonObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const toText = (value: unknown): string => (typeof value === 'string' ? value : '')

function readBlobObject(body: unknown): Record<string, unknown> {
  const blob = isJsonObject(body) ? body['blob'] : undefined
  if (!isJsonObject(blob))
    throw new HttpResponseError(
      respondError(400, 'The body must be { "blob": { … } }.', 'INVALID_INPUT'),
    )
  return blob
}
