import type { AttachmentDefinition, StorageContext } from './context.ts'
import {
  lockAttachedNames,
  deleteAttachments,
  lockAttachmentIds,
} from '../attachments/attachment-rows.ts'
import { lockLanes } from '../attachments/lane.ts'
import type { Session } from '../database/session.ts'
import { discardUploads } from '../delayed/discard.ts'
import type { LinkPlan } from '../delayed/link.ts'
import { findRecordUploads } from '../delayed/upload-rows.ts'
import { InvalidInputError, UnknownAttachmentError } from '../errors/errors.ts'
import { deleteGemRows } from '../gem/gem-rows.ts'
import { formatList, formatValue } from '../errors/message.ts'
import type { ManyInput, OneInput } from './attachable.ts'
import {
  readAttachments,
  readDelayedUploads,
  readLatest,
  validateRequired as validateSlot,
} from './queries.ts'
import type { RowCache, AttachmentScope } from './scope.ts'
import type { Attachment, DelayedFile, DelayedUpload } from './values.ts'
import { whenAttached, type WhenAttachedOptions } from './when-attached.ts'
import { attach, attachLater, removeAll } from './submit.ts'

/** What a record's has-one and has-many have in common. */
export interface Attached {
  /** The attachment's name, such as 'photo'. */
  readonly name: string
  /** Whether something is attached. */
  attached(): Promise<boolean>
  /** Pending, running and failed ones, oldest first. */
  delayedUploads(): Promise<DelayedUpload[]>
  /** Throws AttachmentRequiredError for a `required` name with nothing attached, pending or failed. */
  validate(): Promise<void>
  /**
   * Resolves when what is on its way is attached: this process uploads it, or waits for the worker that has it. Also for what
   * `attachLater` brought. Throws AttachPendingError when an upload fails, or is not done within `timeout` (default:
   * `direct.timeout`), and ConfigurationError inside a transaction, where nothing is uploaded.
   */
  whenAttached(options?: WhenAttachedOptions): Promise<void>
  /** Removes the attachments, keeps the blobs; gives up what is on its way. */
  detach(): Promise<void>
  /** Removes attachments, blobs and objects; gives up what is on its way. */
  purge(): Promise<void>
  /** Removes the attachments now, blobs and objects by a job. */
  purgeLater(): Promise<void>
}

/** A record's has-one. */
export interface OneAttached extends Attached {
  /** Uploads now and attaches. null: blank, or bytes inside a transaction (they attach after commit). */
  attach(file: OneInput): Promise<Attachment | null>
  /** Keeps the bytes in the database and attaches them in the background. null: the input was blank. Does not check `required`. */
  attachLater(file: OneInput): Promise<DelayedUpload | null>
  /** What is attached. */
  attachment(): Promise<Attachment | null>
  /** What the page shows: the newest pending or failed file, else the attached one. */
  latest(): Promise<Attachment | DelayedFile | null>
}

/** A record's has-many. */
export interface ManyAttached extends Attached {
  /** Uploads now and adds. Inside a transaction, bytes attach after its commit, and are not in the result. */
  attach(files: ManyInput): Promise<Attachment[]>
  /** Keeps the bytes in the database and adds them in the background. null: the input was blank. Does not check `required`. */
  attachLater(files: ManyInput): Promise<DelayedUpload | null>
  /** What is attached, in the order it was. */
  attachments(): Promise<Attachment[]>
  /** What is attached, without what a pending cleanBefore replaces, then the pending and failed ones. */
  latest(): Promise<(Attachment | DelayedFile)[]>
}

type OneKind = { readonly kind: 'one' }
/** A record's attachments by name. */
export type AttachedByName<D> = {
  readonly [K in keyof D]: D[K] extends OneKind ? OneAttached : ManyAttached
}
/** Files for a record's attachments by name. */
export type FilesByName<D> = {
  readonly [K in keyof D]?: D[K] extends OneKind ? OneInput : ManyInput
}

/** What `storage.record()` gives: the slots, and five verbs on all of them. */
export type RecordAttachments<D> = AttachedByName<D> & {
  readonly type: string
  readonly id: string
  /** Uploads now and attaches, name by name. */
  attach(files: FilesByName<D>): Promise<void>
  /** One call for a whole form; afterwards every `required` name is checked, so a miss rolls the transaction back. */
  attachLater(files: FilesByName<D>): Promise<DelayedUpload[]>
  validate(): Promise<void>
  /** `whenAttached` of all its attachments. */
  whenAttached(options?: WhenAttachedOptions): Promise<void>
  /** The record is being deleted: attachments purged later, pending uploads dropped. */
  purgeAllLater(): Promise<void>
}

/** Names that a record has already. */
export const RESERVED_RECORD_NAMES: readonly string[] = [
  'id',
  'type',
  'attach',
  'attachLater',
  'validate',
  'whenAttached',
  'purgeAllLater',
  'then',
]

export interface RecordScope {
  readonly context: StorageContext
  readonly type: string
  readonly id: string
  readonly definitions: ReadonlyMap<string, AttachmentDefinition>
  readonly session: (() => Promise<Session>) | null
  readonly wakeAtCommit: AttachmentScope['wakeAtCommit']
  readonly startAtCommit: AttachmentScope['startAtCommit']
  readonly loaded: RowCache
}

export function createRecordHandle(
  scope: RecordScope,
): RecordAttachments<Record<string, { kind: 'one' | 'many' }>> {
  const { type, id, definitions, loaded } = scope
  const scopeOf = (name: string): AttachmentScope => {
    const definition = definitions.get(name)
    if (definition === undefined)
      throw new UnknownAttachmentError(
        `${type} has no attachment '${name}'; it has ${formatList([...definitions.keys()])}.`,
        {
          details: { record: { type, id }, attachment: name },
        },
      )
    return {
      context: scope.context,
      lane: { type, id, name },
      definition,
      session: scope.session,
      wakeAtCommit: scope.wakeAtCommit,
      startAtCommit: scope.startAtCommit,
      loaded,
    }
  }
  /** With what a form is about to bring. */
  const validate = async (
    session = scope.session,
    plans: ReadonlyMap<string, LinkPlan> = new Map(),
  ): Promise<void> => {
    for (const name of definitions.keys())
      await validateSlot({ ...scopeOf(name), session }, plans.get(name))
  }
  const handle: Record<string, unknown> = {
    type,
    id,
    async attach(files: Record<string, unknown>) {
      for (const [name, input] of toFileEntries(files, type, id)) await attach(scopeOf(name), input)
    },
    async attachLater(files: Record<string, unknown>) {
      const submitted = toFileEntries(files, type, id).map(([name, input]) => ({
        scope: scopeOf(name),
        input,
      }))
      if (submitted.length === 0) return validate().then(() => [])
      const uploads = await attachLater(submitted, (session, plans) =>
        validate(() => Promise.resolve(session), plans),
      )
      return uploads.filter((upload) => upload !== null)
    },
    validate: () => validate(),
    whenAttached: (options?: WhenAttachedOptions) => whenAttached(scope, undefined, options),
    async purgeAllLater() {
      await purgeAllLater(scope)
    },
  }
  for (const [name, { kind }] of definitions)
    handle[name] =
      kind === 'one' ? createOneAttached(scopeOf(name)) : createManyAttached(scopeOf(name))
  return handle as RecordAttachments<Record<string, { kind: 'one' | 'many' }>>
}

/** A File, a FormData, or a promise of either has no names of attachments: taken for an empty form, its files would be lost. */
function toFileEntries(files: unknown, type: string, id: string): [name: string, input: unknown][] {
  if (
    typeof files !== 'object' ||
    files === null ||
    Symbol.iterator in files ||
    Symbol.toStringTag in files
  )
    throw new InvalidInputError(
      `The files of ${type} ${id} come by the names of its attachments, as { photo: file }: this is ${formatValue(files)}. Await what parseForm gives.`,
      { details: { record: { type, id } } },
    )
  return Object.entries(files)
}

function createAttached(scope: AttachmentScope): Attached {
  return {
    name: scope.lane.name,
    attached: async () => (await readAttachments(scope)).length > 0,
    delayedUploads: () => readDelayedUploads(scope),
    validate: () => validateSlot(scope),
    whenAttached: (options) => whenAttached({ ...scope, ...scope.lane }, scope.lane.name, options),
    detach: () => removeAll(scope, 'detach'),
    purge: () => removeAll(scope, 'purge'),
    purgeLater: () => removeAll(scope, 'purgeLater'),
  }
}

function createOneAttached(scope: AttachmentScope): OneAttached {
  return {
    ...createAttached(scope),
    attach: async (file) => (await attach(scope, file))[0] ?? null,
    attachLater: async (file) => (await attachLater([{ scope, input: file }]))[0] ?? null,
    attachment: async () => (await readAttachments(scope)).at(-1) ?? null,
    latest: async () => (await readLatest(scope)).at(-1) ?? null,
  }
}

function createManyAttached(scope: AttachmentScope): ManyAttached {
  return {
    ...createAttached(scope),
    attach: (files) => attach(scope, files),
    attachLater: async (files) => (await attachLater([{ scope, input: files }]))[0] ?? null,
    attachments: () => readAttachments(scope),
    latest: () => readLatest(scope),
  }
}

/**
 * Every attachment of the record, also those of names that are no longer defined. `spare` is asked when nothing more can be
 * submitted for the record: true leaves it as it is. Resolves to whether it was purged.
 */
export async function purgeAllLater(
  { context, type, id, definitions, session, wakeAtCommit, loaded }: RecordScope,
  spare: (tx: Session) => Promise<boolean> = () => Promise.resolve(false),
): Promise<boolean> {
  loaded.current = null
  const store = await context.store()
  const run = async (tx: Session): Promise<boolean> => {
    const known = [...definitions.keys()].map((name) => ({ type, id, name }))
    await lockLanes(tx, known)
    if (await spare(tx)) return false
    await discardUploads(tx, await findRecordUploads(tx, type, [id], undefined, true), 'discarded')
    await deleteGemRows(tx, { type, id })
    for (const name of await lockAttachedNames(tx, type, id)) {
      const lane = { type, id, name }
      await deleteAttachments(tx, lane, await lockAttachmentIds(tx, lane), true)
    }
    return true
  }
  const isPurged = await (session === null ? store.transact(run) : run(await session()))
  if (session === null) context.wake()
  else wakeAtCommit()
  return isPurged
}
