import { readTokenId } from '../../attached/signed-tokens.ts'
import type { StorageContext } from '../../attached/context.ts'
import { findBlob } from '../../blobs/blob-rows.ts'
import { InvalidSignatureError } from '../../errors/errors.ts'
import { isAllowedByRecords } from '../authorize.ts'
import { isNodeRequest, type FormRequest } from '../request-body.ts'

/**
 * Whoever has the path of a stored file has its signed id, and could attach it to a record of his own to see it there. With
 * `authorize`, a form brings only files that are attached nowhere, or that the request may see where they are.
 * Throws InvalidSignatureError.
 */
export async function assertSignedIdAllowed(
  context: StorageContext,
  request: FormRequest,
  slot: string,
  signedId: string,
): Promise<void> {
  if (context.authorize === undefined) return
  const blobId = readTokenId(context, 'blob', signedId)
  if (blobId === null) return // attach refuses it
  const { session } = await context.store()
  const row = await findBlob(session, { id: blobId })
  if (
    row === null ||
    (await isAllowedByRecords(context, toWebRequest(request), 'read', row)) !== false
  )
    return
  throw new InvalidSignatureError(
    `The signed id for ${slot} is of a file that this request may not see.`,
    {
      details: { attachment: slot, filename: row.filename },
    },
  )
}

/** What `authorize` reads of Node's request: where it goes, and its headers. */
function toWebRequest(request: FormRequest): Request {
  if (!isNodeRequest(request)) return request
  const {
    headers,
    originalUrl,
    url = '/',
  } = request as FormRequest & {
    headers: Record<string, string | string[] | undefined>
    originalUrl?: string
    url?: string
  }
  const all = new Headers()
  for (const [name, value] of Object.entries(headers))
    if (!name.startsWith(':')) for (const each of [value ?? []].flat()) all.append(name, each)
  return new Request(new URL(originalUrl ?? url, `http://${all.get('host') ?? 'localhost'}`), {
    method: 'POST',
    headers: all,
  })
}
