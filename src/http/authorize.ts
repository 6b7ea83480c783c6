import { attachmentsOfBlob } from '../attachments/attachment-rows.ts'
import type { BlobRow } from '../blobs/blob-rows.ts'
import { blobValue } from '../attached/stored-values.ts'
import type { RecordRef, StoredBlob } from '../attached/values.ts'
import { notAllowed } from './answer.ts'
import type { HttpContext } from './context.ts'

type Awaitable<T> = T | PromiseLike<T>

/** What a request asks for. */
export interface Subject {
  /** 'read': see a file or its progress; 'upload': send bytes. */
  readonly action: 'read' | 'upload'
  /** The stored file, if it is one. */
  readonly blob?: StoredBlob
  /** The record that it is attached to, or on its way to; none for what was never submitted. */
  readonly record?: RecordRef
  /** The attachment's name, such as 'photo'. */
  readonly name?: string
}
/** true: it may. The request's headers tell who asks. */
export type Authorize = (request: Request, subject: Subject) => Awaitable<boolean>

/** Throws the answer 403 unless the app allows it. */
export async function allow(
  { authorize }: HttpContext,
  request: Request,
  subject: Subject,
): Promise<void> {
  if (authorize !== undefined && !(await authorize(request, subject))) throw notAllowed()
}

/** Throws the answer 403 unless the blob may be seen; the app is asked for one that is attached nowhere, too. */
export async function allowBlob(
  context: HttpContext,
  request: Request,
  action: Subject['action'],
  row: BlobRow,
): Promise<void> {
  const isAllowed = await isAllowedWhereAttached(context, request, action, row)
  if (isAllowed === null) return allow(context, request, { action, blob: blobValue(context, row) })
  if (!isAllowed) throw notAllowed()
}

/** A blob may be seen by who may see one of the records that it is attached to. null: it is attached to none. */
export async function isAllowedWhereAttached(
  context: HttpContext,
  request: Request,
  action: Subject['action'],
  row: BlobRow,
): Promise<boolean | null> {
  const { authorize } = context
  if (authorize === undefined) return true
  const attachments = await attachmentsOfBlob((await context.store()).session, row.id)
  const blob = blobValue(context, row)
  for (const { type, id, name } of attachments)
    if (await authorize(request, { action, blob, record: { type, id }, name })) return true
  return attachments.length === 0 ? null : false
}
