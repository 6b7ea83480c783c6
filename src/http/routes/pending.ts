import { readTokenId } from '../../attached/signed-tokens.ts'
import type { StorageContext } from '../../attached/context.ts'
import { readDelayedFile } from '../../attached/delayed-values.ts'
import { blobPath } from '../../attached/paths.ts'
import { findBlob } from '../../blobs/blob-rows.ts'
import { toContentDisposition } from '../../blobs/content-disposition.ts'
import { toSafeContentType } from '../../blobs/safe-content-type.ts'
import { IntegrityError } from '../../errors/errors.ts'
import { findUpload } from '../../delayed/upload-rows.ts'
import { findFiles, isAttached } from '../../staging/file-rows.ts'
import { notFound, respondRedirect } from '../responses.ts'
import { assertAllowed, assertBlobAllowed } from '../authorize.ts'
import { readDisposition } from './blobs.ts'
import { serveContent } from '../serve-content.ts'
import type { Params } from '../router.ts'

/** A staged file's bytes, from whichever process is asked, until it is attached: then it is found where it went. */
export async function showPending(
  context: StorageContext,
  request: Request,
  { token = '' }: Params,
): Promise<Response> {
  const fileId = readTokenId(context, 'pending', token)
  if (fileId === null) throw notFound()
  // A worker may attach the file between two statements of ours: the second look finds it where it went.
  const shown =
    (await showCurrent(context, request, fileId, false)) ??
    (await showCurrent(context, request, fileId, true))
  if (shown === null) throw notFound()
  return shown
}

/** null: the file's rows changed while they were read. With `isLast` there is no further look. */
async function showCurrent(
  context: StorageContext,
  request: Request,
  fileId: string,
  isLast: boolean,
): Promise<Response | null> {
  const { session } = await context.store()
  const [file] = await findFiles(session, [fileId])
  if (file === undefined || file.state === 'staging' || file.state === 'dropped') throw notFound()
  const disposition = readDisposition(request)
  if (isAttached(file)) {
    const blob = file.blobKey === null ? null : await findBlob(session, { key: file.blobKey })
    if (blob === null) throw notFound()
    await assertBlobAllowed(context, request, 'read', blob)
    return respondRedirect(
      blobPath(context, blob, disposition === 'attachment' ? { disposition } : {}),
      'no-store',
    )
  }
  const upload = file.uploadToken === null ? null : await findUpload(session, file.uploadToken)
  if (upload === null && file.uploadToken !== null) return null
  // Nobody has submitted it in time: it is about to go.
  if (upload === null && file.expired) throw notFound()
  const lane = upload?.lane
  await assertAllowed(context, request, {
    action: 'read',
    ...(lane === undefined ? {} : { record: { type: lane.type, id: lane.id }, name: lane.name }),
  })
  const { contentType, mayBeInline } = toSafeContentType(file.contentType)
  try {
    return await serveContent(request, {
      size: file.byteSize,
      contentType,
      disposition: toContentDisposition(mayBeInline ? disposition : 'attachment', file.filename),
      cacheControl: 'max-age=0, private, must-revalidate',
      etag: `"${file.checksum}"`,
      lastModified: null,
      open: (range) => readDelayedFile(context, file, range === null ? {} : { range }),
    })
  } catch (error) {
    // The bytes went with the attaching, and what was stored are others.
    if (error instanceof IntegrityError && !isLast) return null
    throw error
  }
}
