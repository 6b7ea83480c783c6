import {
  deleteAttachments,
  findAttachment,
  insertAttachment,
  lockAttachmentIds,
  type AttachmentRow,
} from '../attachments/attachment-rows.ts'
import { lockLanes } from '../attachments/lane.ts'
import { purgeBlob } from '../attachments/purge.ts'
import { findBlob, insertBlob, parseMetadata, updateIdentified, type BlobRow, type NewBlob } from '../blobs/blob-rows.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import { discardUploads } from '../delayed/discard.ts'
import { linkUpload, occupied } from '../delayed/link.ts'
import { findUpload, uploadsOf } from '../delayed/upload-rows.ts'
import { ActiveStorageError, FileNotFoundError, ServiceError } from '../errors.ts'
import { abandonObject, keepObject } from '../jobs/job-rows.ts'
import { dropUnlinked, filesOf } from '../staging/file-rows.ts'
import { checkCount } from '../staging/limits.ts'
import { readChanges, type Changes } from './changes.ts'
import { attachmentValue, uploadValue } from './context.ts'
import { ready, stageAll, upload, type Ready } from './inputs.ts'
import { detailsOf, ownSession, reader, within, type SlotScope } from './scope.ts'
import type { Attachment, DelayedUpload } from './values.ts'

/** What one form brings for one slot. */
export interface Submitted {
  readonly scope: SlotScope
  readonly input: unknown
}

interface Arrived {
  readonly scope: SlotScope
  readonly changes: Changes
  readonly fileIds: readonly string[]
  readonly blobs: readonly BlobRow[]
}

/**
 * `attachLater`, of one slot or of a whole form of a record: bytes are staged first, then everything is linked in one
 * transaction, which `check` may still refuse. An upload for each, null where there was nothing to queue.
 */
export async function attachLater(
  submitted: readonly Submitted[],
  check: (session: Session) => Promise<void> = () => Promise.resolve(),
): Promise<(DelayedUpload | null)[]> {
  const [first] = submitted
  if (first === undefined) return []
  const { scope } = first
  const staged: string[] = []
  try {
    const arrived: Arrived[] = []
    for (const each of submitted) arrived.push(await arrive(each, staged))
    return await within(scope, async (session, store) => {
      const changed = arrived.filter(
        ({ changes, fileIds, blobs }) => fileIds.length + blobs.length + changes.deletedIds.length > 0 || changes.cleanBefore,
      )
      await lockLanes(
        session,
        changed.map((each) => each.scope.lane),
      )
      const uploads: (DelayedUpload | null)[] = []
      for (const each of arrived) uploads.push(changed.includes(each) ? await link(session, store, each) : null)
      await check(session)
      return uploads
    })
  } catch (error) {
    // After an SQL error the user's transaction takes no further statement; what we staged rolls back with it.
    if (scope.session === null || error instanceof ActiveStorageError) await dropStaged(scope, staged)
    throw error
  }
}

async function arrive({ scope, input }: Submitted, staged: string[]): Promise<Arrived> {
  const changes = readChanges(input, scope.definition.kind, detailsOf(scope.lane))
  const inputs = await ready(scope, changes)
  const fileIds = await stageAll(scope, inputs, staged)
  return { scope, changes, fileIds, blobs: inputs.flatMap((each) => (each.kind === 'blob' ? [each.blob] : [])) }
}

async function link(session: Session, store: Store, { scope, changes, fileIds, blobs }: Arrived): Promise<DelayedUpload | null> {
  const token = await submit(session, store, scope, fileIds, changes)
  await attachStored(session, store, scope, blobs)
  if (token === null) return null
  await scope.context.announce(session, token)
  // Locked reads: of a double click the other transaction's rows are seen.
  const upload = await findUpload(session, token, true)
  return upload && uploadValue(scope.context, upload, await filesOf(session, [token], true), await ownSession(scope))
}

/** What this call staged itself and could not link is nobody's. */
async function dropStaged(scope: SlotScope, ids: readonly string[]): Promise<void> {
  const { session } = await reader(scope)
  for (const id of ids) await dropUnlinked(session, id).catch(() => false)
}

function submit(session: Session, store: Store, scope: SlotScope, fileIds: readonly string[], changes: Changes): Promise<string | null> {
  if (fileIds.length === 0 && changes.deletedIds.length === 0 && !changes.cleanBefore) return Promise.resolve(null)
  return linkUpload(session, store.recordId, {
    lane: scope.lane,
    kind: scope.definition.kind,
    fileIds,
    cleanBefore: changes.cleanBefore,
    deletedIds: changes.deletedIds,
    maxFiles: scope.definition.maxFiles,
    limits: scope.definition.limits,
  })
}

/** Ends all that is on its way to the slot. The lane is locked. */
async function supersede(session: Session, store: Store, { context, lane }: SlotScope): Promise<void> {
  const uploads = await uploadsOf(session, store.recordId, lane.type, [lane.id], lane.name, true)
  await discardUploads(session, uploads)
  context.superseded(uploads.filter((upload) => upload.state !== 'attached'))
}

/** Attaches blobs whose bytes are stored. On a has-one they replace what is there, and all that was on its way. */
async function attachStored(
  session: Session,
  store: Store,
  scope: SlotScope,
  blobs: readonly (BlobRow | NewBlob)[],
): Promise<AttachmentRow[]> {
  if (blobs.length === 0) return []
  const { lane, definition } = scope
  await lockLanes(session, [lane])
  if (definition.kind === 'one') await supersede(session, store, scope)
  const before = await lockAttachmentIds(session, store.recordId, lane)
  if (definition.kind === 'many' && definition.maxFiles !== undefined)
    checkCount(
      (await occupied(session, store.recordId, lane, before)) + (await added(session, store, lane, blobs)),
      definition.maxFiles,
      detailsOf(lane),
    )
  const rows: AttachmentRow[] = []
  for (const blob of blobs) {
    const stored = 'id' in blob ? await findBlob(session, { id: blob.id }, true) : await insertBlob(session, blob)
    if (stored === null) throw new FileNotFoundError(`The blob of ${blob.filename} is gone.`, { details: detailsOf(lane) })
    if ('id' in blob && parseMetadata(stored.metadata)['identified'] !== true && blob.contentType !== null)
      await updateIdentified(session, blob.id, blob.contentType)
    const there = 'id' in blob ? await findAttachment(session, store.recordId, lane, stored.id) : null
    rows.push(there ?? (await insertAttachment(session, store.recordId, lane, stored)))
    if (!('id' in blob) && !(await keepObject(session, blob.key)))
      throw new ServiceError(`The object of ${blob.filename} was being cleaned up while it was attached. Try again.`, {
        details: detailsOf(lane),
      })
  }
  if (definition.kind === 'one') {
    // A blob that is attached here already stays as it is.
    const stay = new Set(rows.map((row) => row.attachmentId))
    await deleteAttachments(
      session,
      store.recordId,
      lane,
      before.filter((id) => !stay.has(id)),
      true,
    )
  }
  return rows
}

/** How many of the blobs are not attached in the lane yet. */
async function added(session: Session, store: Store, lane: SlotScope['lane'], blobs: readonly (BlobRow | NewBlob)[]): Promise<number> {
  let count = 0
  for (const blob of blobs) if (!('id' in blob) || (await findAttachment(session, store.recordId, lane, blob.id)) === null) count += 1
  return count
}

/** `attach`: bytes go to the service now; inside a transaction they are staged and follow after the commit. */
export async function attach(scope: SlotScope, input: unknown): Promise<Attachment[]> {
  const changes = readChanges(input, scope.definition.kind, detailsOf(scope.lane))
  const inputs = await ready(scope, changes)
  const inTransaction = scope.session !== null
  const stored: (BlobRow | NewBlob)[] = []
  const staged: Ready[] = []
  for (const each of inputs) {
    if (each.kind === 'blob') stored.push(each.blob)
    else if (each.kind === 'bytes' && !inTransaction) stored.push(await upload(scope, each.file))
    else staged.push(each)
  }
  const fileIds = await stageAll(scope, staged, [])
  const direct = fileIds.length === 0
  const rows = await within(scope, async (session, store) => {
    if (!direct) {
      const token = await submit(session, store, scope, fileIds, changes)
      if (token !== null) await scope.context.announce(session, token)
    } else if (changes.deletedIds.length > 0 || changes.cleanBefore) {
      await lockLanes(session, [scope.lane])
      const gone = changes.cleanBefore ? await lockAttachmentIds(session, store.recordId, scope.lane) : changes.deletedIds
      await deleteAttachments(session, store.recordId, scope.lane, gone, true)
    }
    return attachStored(session, store, scope, stored)
  }).catch(async (error: unknown) => {
    const { session } = await scope.context.store()
    for (const blob of stored) if (!('id' in blob)) await abandonObject(session, blob.serviceName, blob.key).catch(() => undefined)
    throw error
  })
  const session = scope.session === null ? null : await scope.session()
  return rows.map((row) => attachmentValue(scope.context, row, session))
}

/** Removes all attachments of the slot and gives up what was on its way. */
export async function remove(scope: SlotScope, how: 'detach' | 'purge' | 'purgeLater'): Promise<void> {
  await within(scope, async (session, store) => {
    const { lane } = scope
    await lockLanes(session, [lane])
    await supersede(session, store, scope)
    const ids = await lockAttachmentIds(session, store.recordId, lane)
    // Whether a blob is still used elsewhere cannot be told from a snapshot: in the user's transaction a job looks later.
    const byJob = how === 'purgeLater' || (how === 'purge' && scope.session !== null)
    const gone = await deleteAttachments(session, store.recordId, lane, ids, byJob)
    if (how === 'purge' && !byJob) for (const { blobId } of gone) await purgeBlob(session, blobId)
  })
}
