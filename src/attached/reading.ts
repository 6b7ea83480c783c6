import { attachmentsOf, type AttachmentRow } from '../attachments/attachment-rows.ts'
import type { Session } from '../database/session.ts'
import {
  fetchUploadsWithFiles,
  isOurs,
  selectUploadsOf,
  type UploadWithFiles,
} from '../delayed/upload-rows.ts'
import type { LinkPlan } from '../delayed/link.ts'
import { AttachmentRequiredError } from '../errors.ts'
import { uploadValue } from './delayed-values.ts'
import { detailsOf, ownSession, reader, type LoadedCell, type SlotScope } from './scope.ts'
import { attachmentValue } from './stored-values.ts'
import type { Attachment, DelayedFile, DelayedUpload } from './values.ts'

/** What is attached and what is on its way to records of one model, in their order, in two statements for any number of them. */
export async function load(
  session: Session,
  type: string,
  ids: readonly string[],
): Promise<LoadedCell[]> {
  if (ids.length === 0) return []
  const unique = [...new Set(ids)]
  const attached = Map.groupBy(await attachmentsOf(session, type, unique), (row) => row.id)
  const found = await fetchUploadsWithFiles(
    session,
    selectUploadsOf(session, type, unique).where(isOurs),
  )
  const uploads = Map.groupBy(found, ({ upload }) => upload.lane.id)
  return ids.map((id) => ({
    current: { attachments: attached.get(id) ?? [], uploads: uploads.get(id) ?? [] },
  }))
}

async function attachmentRows(scope: SlotScope): Promise<readonly AttachmentRow[]> {
  const { type, id, name } = scope.lane
  const loaded = scope.loaded.current
  if (loaded !== null) return loaded.attachments.filter((row) => row.name === name)
  const { session } = await reader(scope)
  return attachmentsOf(session, type, [id], name)
}

async function unfinished(scope: SlotScope): Promise<readonly UploadWithFiles[]> {
  const { type, id, name } = scope.lane
  const loaded = scope.loaded.current
  let found = loaded?.uploads.filter(({ upload }) => upload.lane.name === name)
  if (found === undefined) {
    const { session } = await reader(scope)
    found = await fetchUploadsWithFiles(
      session,
      selectUploadsOf(session, type, [id], name).where(isOurs),
    )
  }
  return found.filter(({ upload }) => upload.state !== 'attached')
}

export async function attachments(scope: SlotScope): Promise<Attachment[]> {
  const session = await ownSession(scope)
  return (await attachmentRows(scope)).map((row) => attachmentValue(scope.context, row, session))
}

export async function delayedUploads(scope: SlotScope): Promise<DelayedUpload[]> {
  const session = await ownSession(scope)
  return (await unfinished(scope)).map(({ upload, files }) =>
    uploadValue(scope.context, upload, files, session),
  )
}

/** What the page shows: attached ones without those that a pending upload replaces, then the pending and failed. */
export async function latest(scope: SlotScope): Promise<(Attachment | DelayedFile)[]> {
  const attached = await attachments(scope)
  const waiting = await unfinished(scope)
  const session = await ownSession(scope)
  const replaced = new Set(waiting.flatMap(({ upload }) => upload.replaces ?? []))
  const pending = waiting.flatMap(({ upload, files }) =>
    uploadValue(scope.context, upload, files, session).files.filter(
      (file) => file.state !== 'attached',
    ),
  )
  return [...attached.filter(({ id }) => !replaced.has(id)), ...pending]
}

/** `plan`: what is about to be brought, or taken away. */
export async function validate(scope: SlotScope, plan?: LinkPlan): Promise<void> {
  if (!scope.definition.required) return
  if (plan?.brings ?? (await attachmentRows(scope)).length > 0) return
  if ((await unfinished(scope)).length > 0) return
  const { type, id, name } = scope.lane
  throw new AttachmentRequiredError(
    `${type} ${id} needs ${name}: attach a file, or queue one with attachLater.`,
    {
      details: detailsOf(scope.lane),
    },
  )
}
