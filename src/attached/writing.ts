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
  updateIdentified,
  type BlobRow,
  type NewBlob,
} from '../blobs/blob-rows.ts'
import { abandonObject, keepObject } from '../blobs/object-intents.ts'
import type { Session } from '../database/session.ts'
import { link, planLink, takeAttached, type LinkPlan } from '../delayed/link.ts'
import { findUpload } from '../delayed/upload-rows.ts'
import { ActiveStorageError, FileNotFoundError, ServiceError } from '../errors.ts'
import { deleteBytes, readStaged } from '../staging/chunks.ts'
import { dropUnlinked, filesOf, findFiles, type FileRow } from '../staging/file-rows.ts'
import { readChanges, type Changes } from './changes.ts'
import { uploadValue } from './delayed-values.ts'
import { ready, stageAll, upload, type Ready } from './inputs.ts'
import { detailsOf, ownSession, reader, within, type SlotScope } from './scope.ts'
import { attachmentValue } from './stored-values.ts'
import { supersede } from './supersede.ts'
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
  readonly stored: readonly Stored[]
}

/** An object that is at its service: of a blob that has its row, or of one whose row comes now. */
interface Stored {
  readonly blob: BlobRow | NewBlob
  /** The staged file whose bytes they are. */
  readonly staged?: FileRow
}

/** What a form is about to change, slot by slot, before any of it is changed. `check` may still refuse. */
export type Check = (session: Session, plans: ReadonlyMap<string, LinkPlan>) => Promise<void>

/**
 * `attachLater`, of one slot or of a whole form of a record: bytes are staged first, then everything is looked at, and
 * then linked, in one transaction. An upload for each, null where there was nothing to queue.
 */
export async function attachLater(
  submitted: readonly Submitted[],
  check: Check = () => Promise.resolve(),
): Promise<(DelayedUpload | null)[]> {
  const [first] = submitted
  if (first === undefined) return []
  const { scope } = first
  const staged: string[] = []
  try {
    const arrived: Arrived[] = []
    for (const each of submitted) arrived.push(await arrive(each, staged))
    return await within(scope, async (session) => {
      await lockLanes(
        session,
        arrived.filter(isChange).map((each) => each.scope.lane),
      )
      const plans = new Map<string, LinkPlan>()
      for (const each of arrived)
        if (isChange(each)) plans.set(each.scope.lane.name, await plan(session, each))
      await check(session, plans)
      const uploads: (DelayedUpload | null)[] = []
      for (const each of arrived)
        uploads.push(await submit(session, each, plans.get(each.scope.lane.name)))
      return uploads
    })
  } catch (error) {
    // After an SQL error the user's transaction takes no further statement; what we staged rolls back with it.
    if (scope.session === null || error instanceof ActiveStorageError)
      await dropStaged(scope, staged)
    throw error
  }
}

async function arrive({ scope, input }: Submitted, staged: string[]): Promise<Arrived> {
  const changes = readChanges(input, scope.definition.kind, detailsOf(scope.lane))
  const inputs = await ready(scope, changes)
  const fileIds = await stageAll(scope, inputs, staged)
  return {
    scope,
    changes,
    fileIds,
    stored: inputs.flatMap((each) => (each.kind === 'blob' ? [{ blob: each.blob }] : [])),
  }
}

const isChange = ({ changes, fileIds, stored }: Arrived): boolean =>
  fileIds.length + stored.length + changes.deletedIds.length > 0 || changes.cleanBefore

function plan(session: Session, { scope, changes, fileIds, stored }: Arrived): Promise<LinkPlan> {
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

async function submit(
  session: Session,
  arrived: Arrived,
  planned: LinkPlan | undefined,
): Promise<DelayedUpload | null> {
  if (planned === undefined) return null
  const { scope, stored } = arrived
  const token = await link(session, planned)
  await attachStored(session, scope, stored)
  if (token === null) return null
  await scope.context.announce(session, token)
  // Locked reads: of a double click the other transaction's rows are seen.
  const upload = await findUpload(session, token, true)
  return (
    upload &&
    uploadValue(
      scope.context,
      upload,
      await filesOf(session, [token], true),
      await ownSession(scope),
    )
  )
}

/** What this call staged itself and could not link is nobody's. */
async function dropStaged(scope: SlotScope, ids: readonly string[]): Promise<void> {
  const { session } = await reader(scope)
  for (const id of ids) await dropUnlinked(session, id).catch(() => false)
}

/** Attaches what is stored. On a has-one it replaces what is there, and all that was on its way. The lane is locked. */
async function attachStored(
  session: Session,
  scope: SlotScope,
  all: readonly Stored[],
): Promise<AttachmentRow[]> {
  if (all.length === 0) return []
  const { lane, definition, context } = scope
  if (definition.kind === 'one') await supersede(session, context, lane)
  const taken = all.flatMap(({ blob, staged }) =>
    staged === undefined ? [] : [{ file: staged, key: blob.key }],
  )
  for (const { file, key } of taken)
    await takeAttached(session, file, key, { ...detailsOf(lane), filename: file.filename })
  const before = await lockAttachmentIds(session, lane)
  const rows: AttachmentRow[] = []
  for (const { blob } of all)
    rows.push(
      await ('id' in blob ? attachAgain(session, scope, blob) : attachNew(session, scope, blob)),
    )
  if (definition.kind === 'one') {
    // A blob that is attached here already stays as it is.
    const stay = new Set(rows.map((row) => row.attachmentId))
    const replaced = before.filter((id) => !stay.has(id))
    await deleteAttachments(session, lane, replaced, true)
  }
  return rows
}

async function attachNew(
  session: Session,
  { lane }: SlotScope,
  blob: NewBlob,
): Promise<AttachmentRow> {
  const row = await insertAttachment(session, lane, await insertBlob(session, blob))
  if (await keepObject(session, blob.key)) return row
  throw new ServiceError(
    `The object of ${blob.filename} was being cleaned up while it was attached. Try again.`,
    {
      details: { ...detailsOf(lane), filename: blob.filename },
    },
  )
}

/** A blob that was stored before, as it is now; its content type is told from its bytes, if nobody did that. */
async function attachAgain(
  session: Session,
  { lane }: SlotScope,
  blob: BlobRow,
): Promise<AttachmentRow> {
  const details = { ...detailsOf(lane), filename: blob.filename }
  const stored = await findBlob(session, { id: blob.id }, true)
  if (stored === null)
    throw new FileNotFoundError(`The blob of ${blob.filename} is gone.`, { details })
  const isTold = parseMetadata(stored.metadata)['identified'] === true || blob.contentType === null
  const now = isTold ? stored : await updateIdentified(session, stored, blob.contentType)
  return (await findAttachment(session, lane, blob.id)) ?? insertAttachment(session, lane, now)
}

/** `attach`: bytes go to the service now; inside a transaction they are staged and follow after the commit. */
export async function attach(scope: SlotScope, input: unknown): Promise<Attachment[]> {
  const changes = readChanges(input, scope.definition.kind, detailsOf(scope.lane))
  const inputs = await ready(scope, changes)
  const stored: Stored[] = []
  const later: Ready[] = []
  const staged: string[] = []
  try {
    for (const each of inputs) {
      const now =
        each.kind === 'blob'
          ? { blob: each.blob }
          : scope.session === null
            ? await store(scope, each)
            : null
      if (now === null) later.push(each)
      else stored.push(now)
    }
    const fileIds = await stageAll(scope, later, staged)
    const arrived = { scope, changes, fileIds, stored }
    if (!isChange(arrived)) return []
    const rows = await within(scope, async (session) => {
      const planned = await plan(session, arrived)
      const token = await link(session, planned)
      if (token !== null) {
        await scope.context.announce(session, token)
        scope.startAtCommit({ token, lane: scope.lane })
      }
      return attachStored(session, scope, stored)
    })
    const { session } = await scope.context.store()
    for (const { staged: file } of stored) if (file !== undefined) await deleteBytes(session, file)
    if (scope.session === null) await scope.context.touch(scope.lane.type, scope.lane.id)
    const own = await ownSession(scope)
    return rows.map((row) => attachmentValue(scope.context, row, own))
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
async function store(
  scope: SlotScope,
  input: Exclude<Ready, { kind: 'blob' }>,
): Promise<Stored | null> {
  if (input.kind === 'bytes') return { blob: await upload(scope, input.file) }
  const opened = await scope.context.store()
  const [staged] = await findFiles(opened.session, [input.id])
  if (staged === undefined || staged.state !== 'staged' || staged.uploadToken !== null) return null
  const open = () => readStaged(opened, staged)
  return {
    blob: await upload(scope, {
      filename: staged.filename,
      declaredType: staged.contentType,
      open,
    }),
    staged,
  }
}

/** Removes all attachments of the slot and gives up what was on its way. */
export async function remove(scope: SlotScope, how: Removal): Promise<void> {
  const { lane, context } = scope
  const objects = await within(scope, async (session) => {
    await lockLanes(session, [lane])
    await supersede(session, context, lane)
    return removeAttachments(
      session,
      lane,
      await lockAttachmentIds(session, lane),
      how,
      scope.session !== null,
    )
  })
  await context.deleteNow(objects)
}
