import { PURPOSE } from '../attached/context.ts'
import { readDelayed } from '../attached/delayed-values.ts'
import { blobPath } from '../attached/paths.ts'
import { findBlob } from '../blobs/blob-rows.ts'
import { contentDisposition } from '../blobs/content-disposition.ts'
import { served } from '../blobs/serving.ts'
import { IntegrityError } from '../errors.ts'
import { findUpload } from '../delayed/upload-rows.ts'
import { findFiles, isAttached } from '../staging/file-rows.ts'
import { notFound, redirect } from './answer.ts'
import { allow, allowBlob } from './authorize.ts'
import { dispositionOf } from './blobs.ts'
import { serve } from './content.ts'
import type { HttpContext } from './context.ts'
import type { Params } from './route.ts'

/** A staged file's bytes, from whichever process is asked, until it is attached: then it is found where it went. */
export async function showPending(
  context: HttpContext,
  request: Request,
  { token = '' }: Params,
): Promise<Response> {
  const signed = context.verifier.verify(token, { purpose: PURPOSE.pending })
  if (signed === null || signed.expired === true) throw notFound()
  const fileId = String(signed.value)
  // A worker may attach the file between two statements of ours: the second look finds it where it went.
  const shown =
    (await show(context, request, fileId, false)) ?? (await show(context, request, fileId, true))
  if (shown === null) throw notFound()
  return shown
}

/** null: the file's rows changed while they were read. With `isLast` there is no further look. */
async function show(
  context: HttpContext,
  request: Request,
  fileId: string,
  isLast: boolean,
): Promise<Response | null> {
  const { session } = await context.store()
  const [file] = await findFiles(session, [fileId])
  if (file === undefined || file.state === 'staging' || file.state === 'dropped') throw notFound()
  const disposition = dispositionOf(request)
  if (isAttached(file)) {
    const blob = file.blobKey === null ? null : await findBlob(session, { key: file.blobKey })
    if (blob === null) throw notFound()
    await allowBlob(context, request, 'read', blob)
    return redirect(
      blobPath(context, blob, disposition === 'attachment' ? { disposition } : {}),
      'no-store',
    )
  }
  const upload = file.uploadToken === null ? null : await findUpload(session, file.uploadToken)
  if (upload === null && file.uploadToken !== null) return null
  // Nobody has submitted it in time: it is about to go.
  if (upload === null && file.expired) throw notFound()
  const lane = upload?.lane
  await allow(context, request, {
    action: 'read',
    ...(lane === undefined ? {} : { record: { type: lane.type, id: lane.id }, name: lane.name }),
  })
  const { contentType, mayBeInline } = served(file.contentType)
  try {
    return await serve(request, {
      size: file.byteSize,
      contentType,
      disposition: contentDisposition(mayBeInline ? disposition : 'attachment', file.filename),
      cacheControl: 'max-age=0, private, must-revalidate',
      etag: `"${file.checksum}"`,
      lastModified: null,
      open: (range) => readDelayed(context, file, range === null ? {} : { range }),
    })
  } catch (error) {
    // The bytes went with the attaching, and what was stored are others.
    if (error instanceof IntegrityError && !isLast) return null
    throw error
  }
}
