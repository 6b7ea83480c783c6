import {
  deleteAttachments,
  findAttachment,
  insertAttachment,
  lockAttachmentIds,
  type AttachmentRow,
} from '../attachments/attachment-rows.ts'
import { lockLanes } from '../attachments/lane.ts'
import { removeAttachments, type Removal } from '../attachments/purge.ts'
import {
  findBlob,
  insertBlob,
  parseMetadata,
  saveIdentifiedType,
  type BlobRow,
  type NewBlob,
} from '../blobs/blob-rows.ts'
import { abandonObject, keepObject } from '../blobs/object-intents.ts'
import type { Session } from '../database/session.ts'
import { link, planLink, assignAttachedFile, type LinkPlan } from '../delayed/link.ts'
import { findUpload } from '../delayed/upload-rows.ts'
import { ActiveStorageError, FileNotFoundError, ServiceError } from '../errors/errors.ts'
import { deleteChunksOfFile, readStaged } from '../staging/chunks.ts'
import {
  dropUnlinkedFile,
  findFilesOfUploads,
  findFiles,
  type FileRow,
} from '../staging/file-rows.ts'
import { readChanges, type Changes } from './changes.ts'
import { toDelayedUpload } from './delayed-values.ts'
import { resolveInputs, stageInputs, uploadInput, type ResolvedInput } from './inputs.ts'
import {
  detailsOfLane,
  openUserSession,
  openSession,
  runChange,
  type AttachmentScope,
} from './scope.ts'
import { toAttachment } from './stored-values.ts'
import { supersedeUploads } from './supersede.ts'
import type { Attachment, DelayedUpload } from './values.ts'

/** What one form brings for one slot. */
export interface SubmittedInput {
  readonly scope: AttachmentScope
  readonly input: unknown
}

interface PreparedSubmission {
  readonly scope: AttachmentScope
  readonly changes: Changes
  readonly fileIds: readonly string[]
  readonly stored: readonly StoredObject[]
}

/** An object that is at its service: of a blob that has its row, or of one whose row comes now. */
interface StoredObject {
  readonly blob: BlobRow | NewBlob
  /** The staged file whose bytes they are. */
  readonly staged?: FileRow
}

/** What a form is about to change, slot by slot, before any of it is changed. `check` may still refuse. */
export type CheckPlans = (session: Session, plans: ReadonlyMap<string, LinkPlan>) => Promise<void>

/**
 * `attachLater`, of one slot or of a whole form of a record: bytes are staged first, then everything is looked at, and
 * then linked, in one transaction. An upload for each, null where there was nothing to queue.
 */
export async function attachLater(
  submitted: readonly SubmittedInput[],
  check: CheckPlans = () => Promise.resolve(),
): Promise<(DelayedUpload | null)[]> {
  const [first] = submitted
  if (first === undefined) return []
  const { scope } = first
  const staged: string[] = []
  try {
    const arrived: PreparedSubmission[] = []
    for (const each of submitted) arrived.push(await prepareSubmission(each, staged))
    return await runChange(scope, async (session) => {
      await lockLanes(
        session,
        arrived.filter(hasChanges).map((each) => each.scope.lane),
      )
      const plans = new Map<string, LinkPlan>()
      for (const each of arrived)
        if (hasChanges(each)) plans.set(each.scope.lane.name, await planSubmission(session, each))
      await check(session, plans)
      const uploads: (DelayedUpload | null)[] = []
      for (const each of arrived)
        uploads.push(await writeSubmission(session, each, plans.get(each.scope.lane.name)))
      return uploads
    })
  } catch (error) {
    // After an SQL error the user's transaction takes no further statement; what we staged rolls back with it.
    if (scope.session === null || error instanceof ActiveStorageError)
      await dropStaged(scope, staged)
    throw error
  }
}

async function prepareSubmission(
  { scope, input }: SubmittedInput,
  staged: string[],
): Promise<PreparedSubmission> {
  const changes = readChanges(input, scope.definition.kind, detailsOfLane(scope.lane))
  const inputs = await resolveInputs(scope, changes)
  const fileIds = await stageInputs(scope, inputs, staged)
  return {
    scope,
    changes,
    fileIds,
    stored: inputs.flatMap((each) => (each.kind === 'blob' ? [{ blob: each.blob }] : [])),
  }
}

const hasChanges = ({ changes, fileIds, stored }: PreparedSubmission): boolean =>
  fileIds.length + stored.length + changes.deletedIds.length > 0 || changes.cleanBefore

function planSubmission(
  session: Session,
  { scope, changes, fileIds, stored }: PreparedSubmission,
): Promise<LinkPlan> {
  const { lane, definition } = scope
  return planLink(session, {
    lane,
    kind: definition.kind,
    fileIds,
    cleanBefore: changes.cleanBefore,
    deletedIds: changes.deletedIds,
    blobs: stored.map(({ blob }) => ('id' in blob ? blob.id : null)),
    maxFiles: definition.maxFiles,
    limits: definition.limits,
  })
}

async function writeSubmission(
  session: Session,
  arrived: PreparedSubmission,
  planned: LinkPlan | undefined,
): Promise<DelayedUpload | null> {
  if (planned === undefined) return null
  const { scope, stored } = arrived
  const token = await link(session, planned)
  await attachStored(session, scope, stored)
  if (token === null) return null
  await scope.context.announce(session, [token])
  // Locked reads: of a double click the other transaction's rows are seen.
  const upload = await findUpload(session, token, true)
  return (
    upload &&
    toDelayedUpload(
      scope.context,
      upload,
      await findFilesOfUploads(session, [token], true),
      await openUserSession(scope),
    )
  )
}

/** What this call staged itself and could not link is nobody's. */
async function dropStaged(scope: AttachmentScope, ids: readonly string[]): Promise<void> {
  const { session } = await openSession(scope)
  for (const id of ids) await dropUnlinkedFile(session, id).catch(() => false)
}

/** Attaches what is stored. On a has-one it replaces what is there, and all that was on its way. The lane is locked. */
async function attachStored(
  session: Session,
  scope: AttachmentScope,
  all: readonly StoredObject[],
): Promise<AttachmentRow[]> {
  if (all.length === 0) return []
  const { lane, definition, context } = scope
  if (definition.kind === 'one') await supersedeUploads(session, context, lane)
  const taken = all.flatMap(({ blob, staged }) =>
    staged === undefined ? [] : [{ file: staged, key: blob.key }],
  )
  for (const { file, key } of taken)
    await assignAttachedFile(session, file, key, {
      ...detailsOfLane(lane),
      filename: file.filename,
    })
  const before = await lockAttachmentIds(session, lane)
  const rows: AttachmentRow[] = []
  for (const { blob } of all)
    rows.push(
      await ('id' in blob
        ? attachExistingBlob(session, scope, blob)
        : attachNewBlob(session, scope, blob)),
    )
  if (definition.kind === 'one') {
    // A blob that is attached here already stays as it is.
    const stay = new Set(rows.map((row) => row.attachmentId))
    const replaced = before.filter((id) => !stay.has(id))
    await deleteAttachments(session, lane, replaced, true)
  }
  return rows
}

async function attachNewBlob(
  session: Session,
  { lane }: AttachmentScope,
  blob: NewBlob,
): Promise<AttachmentRow> {
  const row = await insertAttachment(session, lane, await insertBlob(session, blob))
  if (await keepObject(session, blob.key)) return row
  throw new ServiceError(
    `The object of ${blob.filename} was being cleaned up while it was attached. Try again.`,
    {
      details: { ...detailsOfLane(lane), filename: blob.filename },
    },
  )
}

/** A blob that was stored before, as it is now; its content type is told from its bytes, if nobody did that. */
async function attachExistingBlob(
  session: Session,
  { lane }: AttachmentScope,
  blob: BlobRow,
): Promise<AttachmentRow> {
  const details = { ...detailsOfLane(lane), filename: blob.filename }
  const stored = await findBlob(session, { id: blob.id }, { lock: true })
  if (stored === null)
    throw new FileNotFoundError(`The blob of ${blob.filename} is gone.`, { details })
  const isTold = parseMetadata(stored.metadata)['identified'] === true || blob.contentType === null
  const now = isTold ? stored : await saveIdentifiedType(session, stored, blob.contentType)
  return (await findAttachment(session, lane, blob.id)) ?? insertAttachment(session, lane, now)
}

/** `attach`: bytes go to the service now; inside a transaction they are staged and follow after the commit. */
export async function attach(scope: AttachmentScope, input: unknown): Promise<Attachment[]> {
  const changes = readChanges(input, scope.definition.kind, detailsOfLane(scope.lane))
  const inputs = await resolveInputs(scope, changes)
  const stored: StoredObject[] = []
  const later: ResolvedInput[] = []
  const staged: string[] = []
  try {
    for (const each of inputs) {
      const now =
        each.kind === 'blob'
          ? { blob: each.blob }
          : scope.session === null
            ? await storeInput(scope, each)
            : null
      if (now === null) later.push(each)
      else stored.push(now)
    }
    const fileIds = await stageInputs(scope, later, staged)
    const arrived = { scope, changes, fileIds, stored }
    if (!hasChanges(arrived)) return []
    const rows = await runChange(scope, async (session) => {
      const planned = await planSubmission(session, arrived)
      const token = await link(session, planned)
      if (token !== null) {
        await scope.context.announce(session, [token])
        scope.startAtCommit({ token, lane: scope.lane })
      }
      return attachStored(session, scope, stored)
    })
    const { session } = await scope.context.store()
    for (const { staged: file } of stored)
      if (file !== undefined) await deleteChunksOfFile(session, file)
    if (scope.session === null) await scope.context.touch(scope.lane.type, scope.lane.id)
    const own = await openUserSession(scope)
    return rows.map((row) => toAttachment(scope.context, row, own))
  } catch (error) {
    const { session } = await scope.context.store()
    for (const { blob } of stored)
      if (!('id' in blob))
        await abandonObject(session, blob.serviceName, blob.key).catch(() => undefined)
    if (scope.session === null || error instanceof ActiveStorageError)
      await dropStaged(scope, staged)
    throw error
  }
}

/** Sends it to its service. null: a staged file that was submitted before. */
async function storeInput(
  scope: AttachmentScope,
  input: Exclude<ResolvedInput, { kind: 'blob' }>,
): Promise<StoredObject | null> {
  if (input.kind === 'bytes') return { blob: await uploadInput(scope, input.file) }
  const opened = await scope.context.store()
  const [staged] = await findFiles(opened.session, [input.id])
  if (staged === undefined || staged.state !== 'staged' || staged.uploadToken !== null) return null
  const open = () => readStaged(opened, staged)
  return {
    blob: await uploadInput(scope, {
      filename: staged.filename,
      declaredType: staged.contentType,
      open,
    }),
    staged,
  }
}

/** Removes all attachments of the slot and gives up what was on its way. */
export async function removeAll(scope: AttachmentScope, how: Removal): Promise<void> {
  const { lane, context } = scope
  const objects = await runChange(scope, async (session) => {
    await lockLanes(session, [lane])
    await supersedeUploads(session, context, lane)
    return removeAttachments(
      session,
      lane,
      await lockAttachmentIds(session, lane),
      how,
      scope.session !== null,
    )
  })
  await context.deleteObjectsNow(objects)
}
