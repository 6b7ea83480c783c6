import type { StorageContext } from '../../attached/context.ts'
import { announceDirectUpload, type DirectUploadFile } from '../../attached/direct-upload.ts'
import { signBlob } from '../../attached/paths.ts'
import { assertAllowed } from '../authorize.ts'
import { readJson } from '../request-body.ts'
import { HttpResponseError, respondError, respondJson } from '../responses.ts'
import type { Params } from '../router.ts'
import { readAttachmentToken } from '../signed-attachment.ts'

const MAX_JSON_BYTES = 64 * 1024

/**
 * Handles Rails' `POST /direct_uploads`, in the protocol of its browser client. A path with a token
 * allows files for one attachment, within the limits of that attachment.
 */
export async function createDirectUpload(
  context: StorageContext,
  request: Request,
  { token }: Params,
): Promise<Response> {
  const attachment = token === undefined ? null : readAttachmentToken(context, token)
  const name = attachment?.name
  await assertAllowed(context, request, {
    action: 'upload',
    ...(attachment === null ? {} : { model: attachment.model, name: attachment.name }),
  })
  // Browsers let a page of another site send a form without asking the app first, but not JSON.
  if (!/^application\/json\b/i.test(request.headers.get('content-type') ?? ''))
    throw new HttpResponseError(
      respondError(415, 'The Content-Type must be application/json.', 'INVALID_INPUT'),
    )
  const file = toDirectUploadFile(readBlobObject(await readJson(request, MAX_JSON_BYTES)))
  const definition = attachment?.definition
  const keyPrefix = typeof definition?.keyPrefix === 'string' ? definition.keyPrefix : undefined
  const limits = definition?.limits ?? { maxSize: context.maxSize }
  const { blob, metadata, url, headers } = await announceDirectUpload(
    context,
    definition?.service ?? context.defaultService,
    file,
    { limits, keyPrefix, name, signal: request.signal },
  )
  const id = Number(blob.id)
  return respondJson(200, {
    id: Number.isSafeInteger(id) ? id : blob.id,
    key: blob.key,
    filename: blob.filename,
    content_type: blob.contentType,
    metadata,
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

/**
 * Reads the announced file. Invalid values become '' or NaN, which `announceDirectUpload` refuses
 * with the name of the field.
 */
function toDirectUploadFile(blob: Record<string, unknown>): DirectUploadFile {
  const { content_type: contentType, byte_size: byteSize, metadata } = blob
  const isDigits = typeof byteSize === 'string' && /^\d+$/.test(byteSize)
  return {
    filename: toText(blob['filename']),
    byteSize: isDigits || typeof byteSize === 'number' ? Number(byteSize) : NaN,
    checksum: toText(blob['checksum']),
    contentType: typeof contentType === 'string' ? contentType : undefined,
    metadata: isJsonObject(metadata) ? metadata : undefined,
  }
}
