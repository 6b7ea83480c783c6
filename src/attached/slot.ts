import {
  attachmentsOf,
  deleteAttachments,
  insertAttachment,
  lockAttachmentIds,
  type AttachmentRow,
} from '../attachments/attachment-rows.ts'
import { lockLanes, type Lane } from '../attachments/lane.ts'
import { purgeBlob } from '../attachments/purge.ts'
import { findBlob, insertBlob, type BlobRow, type NewBlob } from '../blobs/blob-rows.ts'
import { storeObject } from '../blobs/store-object.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import type { DelayedDefinition } from '../delayed/definition.ts'
import { discardUploads } from '../delayed/discard.ts'
import { linkUpload } from '../delayed/link.ts'
import { findUpload, uploadsOf, type UploadRow } from '../delayed/upload-rows.ts'
import {
  AttachmentRequiredError,
  ConfigurationError,
  FileNotFoundError,
  InvalidSignatureError,
  ServiceError,
  StagedFileExpiredError,
  type ErrorDetails,
} from '../errors.ts'
import { keepObject } from '../jobs/job-rows.ts'
import type { Service } from '../services/service.ts'
import { filesOf } from '../staging/file-rows.ts'
import { checkCount, checkSize, checkType, type Limits } from '../staging/limits.ts'
import { stageFile, type IncomingFile } from '../staging/stage.ts'
import { readAttachable } from './attachable.ts'
import { readChanges, type Changes } from './changes.ts'
import { attachmentValue, PURPOSE, uploadValue, type AttachedContext } from './context.ts'
import type { Attachment, DelayedFile, DelayedUpload } from './values.ts'

/** A definition with its defaults filled in. */
export interface SlotDefinition extends DelayedDefinition {
  readonly required: boolean
  readonly limits: Limits
}

export interface SlotContext extends AttachedContext {
  /** Milliseconds. */
  readonly expiresIn: number
  findRecord(type: string, id: string): Promise<unknown>
  /** Written as the last statement of a link, where the database can tell workers at commit. */
  notify(session: Session): Promise<void>
}

export interface SlotScope {
  readonly context: SlotContext
  readonly lane: Lane
  readonly definition: SlotDefinition
  /** The user's transaction, if the record was asked for with one. */
  readonly session: (() => Promise<Session>) | null
}

type Ready = { readonly kind: 'staged'; readonly id: string } | { readonly kind: 'blob'; readonly blob: BlobRow } | { readonly kind: 'bytes'; readonly file: IncomingFile }

const detailsOf = ({ type, id, name }: Lane): ErrorDetails => ({ record: { type, id }, attachment: name })

async function within<T>(scope: SlotScope, run: (session: Session, store: Store) => Promise<T>): Promise<T> {
  const store = await scope.context.store()
  if (scope.session !== null) return run(await scope.session(), store)
  const result = await store.transact((session) => run(session, store))
  scope.context.wake()
  return result
}

async function reader(scope: SlotScope): Promise<{ session: Session; store: Store }> {
  const store = await scope.context.store()
  return { store, session: scope.session === null ? store.session : await scope.session() }
}

/** Tells apart what came in; signed ids are verified, nothing is read or written but a blob's row. */
async function ready(scope: SlotScope, changes: Changes): Promise<Ready[]> {
  const details = detailsOf(scope.lane)
  const inputs = changes.files.flatMap((file) => readAttachable(file, details) ?? [])
  const taken = scope.definition.kind === 'one' ? inputs.slice(-1) : inputs
  checkCount(taken.length, scope.definition.kind === 'many' ? scope.definition.maxFiles : undefined, details)
  const result: Ready[] = []
  for (const input of taken) result.push(input.kind === 'bytes' ? input : await resolveSigned(scope, input.signedId))
  return result
}

async function resolveSigned(scope: SlotScope, signedId: string): Promise<Ready> {
  const { verifier } = scope.context
  const details = detailsOf(scope.lane)
  const staged = verifier.verify(signedId, { purpose: PURPOSE.staged })
  if (staged !== null && 'expired' in staged)
    throw new StagedFileExpiredError('The staged file has expired. Send it again.', { details })
  if (staged !== null) return { kind: 'staged', id: String(staged.value) }
  const signed = verifier.verify(signedId, { purpose: PURPOSE.blob })
  if (signed === null || 'expired' in signed)
    throw new InvalidSignatureError(
      `The signed id for ${scope.lane.name} is not valid here: it was changed, has expired, or was signed with another secret.`,
      { details },
    )
  const { session } = await reader(scope)
  const blob = await findBlob(session, { id: String(signed.value) })
  if (blob === null) throw new FileNotFoundError('The blob of this signed id is gone.', { details })
  checkSize(blob.byteSize, scope.definition.limits, { ...details, filename: blob.filename })
  checkType(blob.contentType ?? 'application/octet-stream', scope.definition.limits, { ...details, filename: blob.filename })
  if (!(await serviceNamed(scope, blob.serviceName).exists(blob.key)))
    throw new FileNotFoundError(`The bytes of ${blob.filename} were never uploaded, or are gone.`, {
      details: { ...details, filename: blob.filename },
    })
  return { kind: 'blob', blob }
}

function serviceNamed(scope: SlotScope, name: string): Service {
  const service = scope.context.services[name]
  if (service === undefined) throw new ConfigurationError(`The service '${name}' is not among the configured ones.`)
  return service
}

/** Stages what came as bytes: before the user's transaction on the pool, inside it through its own connection. */
async function stageAll(scope: SlotScope, inputs: readonly Ready[]): Promise<string[]> {
  const { session, store } = await reader(scope)
  const ids: string[] = []
  for (const input of inputs) {
    if (input.kind === 'staged') ids.push(input.id)
    if (input.kind !== 'bytes') continue
    const row = await stageFile(session, input.file, {
      expiresIn: scope.context.expiresIn,
      limits: scope.definition.limits,
      details: detailsOf(scope.lane),
      parallel: scope.session === null ? store.database.parallel : 1,
    })
    ids.push(row.id)
  }
  return ids
}

/** `attachLater`: null when there was nothing to queue. */
export async function attachLater(scope: SlotScope, input: unknown): Promise<DelayedUpload | null> {
  const changes = readChanges(input, scope.definition.kind, detailsOf(scope.lane))
  const inputs = await ready(scope, changes)
  if (inputs.length === 0 && changes.deletedIds.length === 0 && !changes.cleanBefore) return null
  const fileIds = await stageAll(scope, inputs)
  const blobs = inputs.flatMap((each) => (each.kind === 'blob' ? [each.blob] : []))
  return within(scope, async (session, store) => {
    const token = await submit(session, store, scope, fileIds, changes)
    await attachStored(session, store, scope, blobs)
    if (token === null) return null
    await scope.context.notify(session)
    const upload = await findUpload(session, token)
    if (upload === null) return null
    return uploadValue(scope.context, upload, await filesOf(session, [token]), scope.session === null ? null : session)
  })
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
  })
}

/** Attaches blobs whose bytes are stored. On a has-one they replace what is there, and all that was on its way. */
async function attachStored(session: Session, store: Store, scope: SlotScope, blobs: readonly (BlobRow | NewBlob)[]): Promise<AttachmentRow[]> {
  if (blobs.length === 0) return []
  const { lane, definition } = scope
  await lockLanes(session, [lane])
  if (definition.kind === 'one')
    await discardUploads(session, await uploadsOf(session, store.recordId, lane.type, [lane.id], lane.name, true))
  const before = await lockAttachmentIds(session, store.recordId, lane)
  if (definition.kind === 'many') checkCount(before.length + blobs.length, definition.maxFiles, detailsOf(lane))
  const rows: AttachmentRow[] = []
  for (const blob of blobs) {
    const stored = 'id' in blob ? await findBlob(session, { id: blob.id }, true) : await insertBlob(session, blob)
    if (stored === null) throw new FileNotFoundError(`The blob of ${blob.filename} is gone.`, { details: detailsOf(lane) })
    const row = await insertAttachment(session, store.recordId, lane, stored.id)
    if (row !== null) rows.push(row)
    if (!('id' in blob) && !(await keepObject(session, blob.key)))
      throw new ServiceError(`The object of ${blob.filename} was being cleaned up while it was attached. Try again.`, { details: detailsOf(lane) })
  }
  // A blob that is attached here already stays as it is.
  if (definition.kind === 'one' && rows.length > 0) await deleteAttachments(session, store.recordId, lane, before, true)
  return rows
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
  const fileIds = await stageAll(scope, staged)
  const direct = fileIds.length === 0
  const rows = await within(scope, async (session, store) => {
    if (!direct) {
      await submit(session, store, scope, fileIds, changes)
      await scope.context.notify(session)
    } else if (changes.deletedIds.length > 0 || changes.cleanBefore) {
      await lockLanes(session, [scope.lane])
      const gone = changes.cleanBefore ? await lockAttachmentIds(session, store.recordId, scope.lane) : changes.deletedIds
      await deleteAttachments(session, store.recordId, scope.lane, gone, true)
    }
    return attachStored(session, store, scope, stored)
  })
  const session = scope.session === null ? null : await scope.session()
  return rows.map((row) => attachmentValue(scope.context, row, session))
}

async function upload(scope: SlotScope, file: IncomingFile): Promise<NewBlob> {
  const { lane, definition, context } = scope
  const store = await context.store()
  const details = { ...detailsOf(lane), filename: file.filename }
  const record = typeof definition.keyPrefix === 'function' ? ((await context.findRecord(lane.type, lane.id)) ?? { type: lane.type, id: lane.id }) : null
  return storeObject(store.session, file, {
    serviceName: definition.service,
    service: serviceNamed(scope, definition.service),
    keyPrefix: typeof definition.keyPrefix === 'function' ? definition.keyPrefix(record) : definition.keyPrefix,
    checkSize: (size) => checkSize(size, definition.limits, details),
    checkType: (type) => checkType(type, definition.limits, details),
  })
}

/** Removes all attachments of the slot and gives up what was on its way. */
export async function remove(scope: SlotScope, how: 'detach' | 'purge' | 'purgeLater'): Promise<void> {
  await within(scope, async (session, store) => {
    const { lane } = scope
    await lockLanes(session, [lane])
    await discardUploads(session, await uploadsOf(session, store.recordId, lane.type, [lane.id], lane.name, true))
    const ids = await lockAttachmentIds(session, store.recordId, lane)
    const rows = how === 'purge' ? await attachmentsOf(session, store.recordId, lane.type, [lane.id], lane.name) : []
    await deleteAttachments(session, store.recordId, lane, ids, how === 'purgeLater')
    for (const row of rows) await purgeBlob(session, row.blob.id)
  })
}

export async function attachments(scope: SlotScope): Promise<Attachment[]> {
  const { session, store } = await reader(scope)
  const { type, id, name } = scope.lane
  const rows = await attachmentsOf(session, store.recordId, type, [id], name)
  return rows.map((row) => attachmentValue(scope.context, row, scope.session === null ? null : session))
}

async function unfinished(scope: SlotScope): Promise<{ row: UploadRow; value: DelayedUpload }[]> {
  const { session, store } = await reader(scope)
  const { type, id, name } = scope.lane
  const rows = (await uploadsOf(session, store.recordId, type, [id], name)).filter((row) => row.state !== 'attached')
  const files = await filesOf(session, rows.map((row) => row.token))
  const own = scope.session === null ? null : session
  return rows.map((row) => ({
    row,
    value: uploadValue(scope.context, row, files.filter((file) => file.uploadToken === row.token), own),
  }))
}

export async function delayedUploads(scope: SlotScope): Promise<DelayedUpload[]> {
  return (await unfinished(scope)).map(({ value }) => value)
}

/** What the page shows: attached ones without those that a pending upload replaces, then the pending and failed. */
export async function latest(scope: SlotScope): Promise<(Attachment | DelayedFile)[]> {
  const attached = await attachments(scope)
  const waiting = await unfinished(scope)
  const replaced = new Set(waiting.flatMap(({ row }) => row.replaces ?? []))
  const pending = waiting.flatMap(({ value }) => value.files.filter((file) => file.state !== 'attached'))
  return [...attached.filter(({ id }) => !replaced.has(id)), ...pending]
}

export async function validate(scope: SlotScope): Promise<void> {
  if (!scope.definition.required) return
  if ((await attachments(scope)).length > 0 || (await unfinished(scope)).length > 0) return
  const { type, id, name } = scope.lane
  throw new AttachmentRequiredError(`${type} ${id} needs ${name}: attach a file, or queue one with attachLater.`, {
    details: detailsOf(scope.lane),
  })
}
