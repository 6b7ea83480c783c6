import { PURPOSE } from '../attached/context.ts'
import { readDelayed } from '../attached/delayed-values.ts'
import { blobPath } from '../attached/paths.ts'
import { findBlob } from '../blobs/blob-rows.ts'
import { contentDisposition } from '../blobs/content-disposition.ts'
import { served } from '../blobs/serving.ts'
import { findUpload } from '../delayed/upload-rows.ts'
import { findFiles, isAttached } from '../staging/file-rows.ts'
import { notFound, redirect } from './answer.ts'
import { allow, allowBlob } from './authorize.ts'
import { dispositionOf } from './blobs.ts'
import { serve } from './content.ts'
import type { HttpContext } from './context.ts'
import type { Params } from './route.ts'

/** A staged file's bytes, from whichever process is asked, until it is attached: then it is found where it went. */
export async function showPending(context: HttpContext, request: Request, { token = '' }: Params): Promise<Response> {
  const signed = context.verifier.verify(token, { purpose: PURPOSE.pending })
  if (signed === null || signed.expired === true) throw notFound()
  const { session } = await context.store()
  const [file] = await findFiles(session, [String(signed.value)])
  if (file === undefined || file.state === 'staging' || file.state === 'dropped') throw notFound()
  const disposition = dispositionOf(request)
  if (isAttached(file)) {
    const blob = file.blobKey === null ? null : await findBlob(session, { key: file.blobKey })
    if (blob === null) throw notFound()
    await allowBlob(context, request, 'read', blob)
    return redirect(blobPath(context, blob, disposition === 'attachment' ? { disposition } : {}), 'no-store')
  }
  const upload = file.uploadToken === null ? null : await findUpload(session, file.uploadToken)
  // Nobody has submitted it in time: it is about to go.
  if (upload === null && (file.uploadToken !== null || file.expired)) throw notFound()
  const lane = upload?.lane
  await allow(context, request, {
    action: 'read',
    ...(lane === undefined ? {} : { record: { type: lane.type, id: lane.id }, name: lane.name }),
  })
  const { contentType, mayBeInline } = served(file.contentType)
  return serve(request, {
    size: file.byteSize,
    contentType,
    disposition: contentDisposition(mayBeInline ? disposition : 'attachment', file.filename),
    cacheControl: 'max-age=0, private, must-revalidate',
    etag: `"${file.checksum}"`,
    lastModified: null,
    open: (range) => readDelayed(context, file, range === null ? {} : { range }),
  })
}
