import { findAttachments, type AttachmentRow } from '../attachments/attachment-rows.ts'
import type { Session } from '../database/session.ts'
import {
  fetchUploadsWithFiles,
  isOwnUpload,
  selectRecordUploads,
  type UploadWithFiles,
} from '../delayed/upload-rows.ts'
import type { LinkPlan } from '../delayed/plan-link.ts'
import { describeLane } from '../attachments/lane.ts'
import { AttachmentRequiredError } from '../errors/errors.ts'
import { toDelayedUpload } from './delayed-values.ts'
import { openSession, type RowCache, type AttachmentScope } from './scope.ts'
import { toAttachment } from './stored-values.ts'
import type { Attachment, DelayedFile, DelayedUpload } from './values.ts'

/**
 * Reads attachments and unfinished uploads of many records of one model, in two statements. Keeps
 * the order of `ids`.
 */
export async function preloadRecords(
  session: Session,
  type: string,
  ids: readonly string[],
): Promise<RowCache[]> {
  if (ids.length === 0) return []
  const unique = [...new Set(ids)]
  const attached = Map.groupBy(await findAttachments(session, type, unique), (row) => row.id)
  const found = await fetchUploadsWithFiles(
    session,
    selectRecordUploads(session, type, unique).where(isOwnUpload),
  )
  const uploads = Map.groupBy(found, ({ upload }) => upload.lane.id)
  return ids.map((id) => ({
    current: { attachments: attached.get(id) ?? [], uploads: uploads.get(id) ?? [] },
  }))
}

async function readAttachmentRows(scope: AttachmentScope): Promise<readonly AttachmentRow[]> {
  const { type, id, name } = scope.lane
  const loaded = scope.loaded.current
  if (loaded !== null) return loaded.attachments.filter((row) => row.name === name)
  const { session } = await openSession(scope)
  return findAttachments(session, type, [id], name)
}

async function findUnfinishedUploads(scope: AttachmentScope): Promise<readonly UploadWithFiles[]> {
  const { type, id, name } = scope.lane
  const loaded = scope.loaded.current
  let found = loaded?.uploads.filter(({ upload }) => upload.lane.name === name)
  if (found === undefined) {
    const { session } = await openSession(scope)
    found = await fetchUploadsWithFiles(
      session,
      selectRecordUploads(session, type, [id], name).where(isOwnUpload),
    )
  }
  return found.filter(({ upload }) => upload.state !== 'attached')
}

/** Reads the attached files, oldest first. */
export async function readAttachments(scope: AttachmentScope): Promise<Attachment[]> {
  return (await readAttachmentRows(scope)).map((row) => toAttachment(scope, row))
}

/** Reads the pending, running and failed uploads, oldest first. */
export async function readDelayedUploads(scope: AttachmentScope): Promise<DelayedUpload[]> {
  return (await findUnfinishedUploads(scope)).map(({ upload, files }) =>
    toDelayedUpload(scope, upload, files),
  )
}

/**
 * Reads the files to show: attached ones that no pending upload replaces, then the pending and
 * failed ones.
 */
export async function readLatest(scope: AttachmentScope): Promise<(Attachment | DelayedFile)[]> {
  const attached = await readAttachments(scope)
  const unfinished = await findUnfinishedUploads(scope)
  const replaced = new Set(unfinished.flatMap(({ upload }) => upload.replaces ?? []))
  const pending = unfinished.flatMap(({ upload, files }) =>
    toDelayedUpload(scope, upload, files).files.filter((file) => file.state !== 'attached'),
  )
  return [...attached.filter(({ id }) => !replaced.has(id)), ...pending]
}

/**
 * Throws AttachmentRequiredError if a `required` attachment has no file. `plan` holds changes that
 * are not written yet.
 */
export async function checkRequired(scope: AttachmentScope, plan?: LinkPlan): Promise<void> {
  if (!scope.definition.required) return
  if (plan?.hasFiles ?? (await readAttachmentRows(scope)).length > 0) return
  if ((await findUnfinishedUploads(scope)).length > 0) return
  const { type, id, name } = scope.lane
  throw new AttachmentRequiredError(
    `${type} ${id} needs ${name}: attach a file, or queue one with attachLater.`,
    { details: describeLane(scope.lane) },
  )
}
