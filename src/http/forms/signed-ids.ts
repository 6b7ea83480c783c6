import type { StorageContext } from '../../attached/context.ts'
import { findSignedBlob } from '../../attached/lookups.ts'
import { InvalidSignatureError } from '../../errors/errors.ts'
import { isAllowedByRecords } from '../authorize.ts'
import { isNodeRequest, type FormRequest } from '../request-body.ts'

/**
 * Throws InvalidSignatureError for a stored file that the request may not see. The path of a file
 * contains its signed id, so a visitor could attach a file of somebody else to a record of his own,
 * and read it there. With `authorize`, a form may name only files without a record, and files that
 * the request may see.
 */
export async function assertSignedIdAllowed(
  context: StorageContext,
  request: FormRequest,
  attachment: string,
  signedId: string,
): Promise<void> {
  if (context.authorize === undefined) return
  const row = await findSignedBlob(context, signedId)
  // An invalid signed id is refused when it is attached.
  if (row === null) return
  if ((await isAllowedByRecords(context, toWebRequest(request), 'read', row)) !== false) return
  throw new InvalidSignatureError(
    `The signed id for ${attachment} names a file that this request may not see.`,
    { details: { attachment, filename: row.filename } },
  )
}

/** Creates a web request with the URL and headers of Node's request, for `authorize`. */
function toWebRequest(request: FormRequest): Request {
  if (!isNodeRequest(request)) return request
  const { originalUrl, url = '/' } = request
  const headers = new Headers()
  for (const [name, value] of Object.entries(request.headers))
    if (!name.startsWith(':')) for (const item of [value ?? []].flat()) headers.append(name, item)
  return new Request(new URL(originalUrl ?? url, `http://${headers.get('host') ?? 'localhost'}`), {
    method: 'POST',
    headers,
  })
}
