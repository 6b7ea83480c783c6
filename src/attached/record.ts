import type { AttachmentDefinition } from './context.ts'
import { InvalidInputError, UnknownAttachmentError } from '../errors/errors.ts'
import { formatList, formatValue } from '../errors/message.ts'
import type { ManyInput, OneInput } from './attachable.ts'
import { readAttachments, readDelayedUploads, readLatest, checkRequired } from './queries.ts'
import type { AttachmentScope, ChangeScope } from './scope.ts'
import type { Attachment, DelayedFile, DelayedUpload } from './values.ts'
import { whenAttached, type WhenAttachedOptions } from './when-attached.ts'
import { attach } from './attach.ts'
import { purgeAllLater } from './purge-all-later.ts'
import { removeAll, type PurgeOptions } from './remove.ts'
import { attachLater, type AttachOptions } from './submit.ts'

/** Members that a record's has-one and has-many share. */
export interface Attached {
  /** The attachment's name, such as 'photo'. */
  readonly name: string
  /** Returns whether a file is attached. */
  attached(): Promise<boolean>
  /** Reads the pending, running and failed uploads, oldest first. */
  delayedUploads(): Promise<DelayedUpload[]>
  /**
   * Throws AttachmentRequiredError if the attachment is `required` and no file is attached, pending
   * or failed.
   */
  validate(): Promise<void>
  /**
   * Resolves when the pending files are attached, also those of `attachLater`: this process uploads
   * them, or waits for the worker that has them. Throws AttachPendingError when an upload fails or
   * `timeout` passes, and ConfigurationError inside a transaction, because uncommitted files are
   * not uploaded.
   */
  whenAttached(options?: WhenAttachedOptions): Promise<void>
  /** Removes the attachments, keeps their blobs, and discards pending uploads. */
  detach(): Promise<void>
  /** Removes attachments, blobs and objects, and discards pending uploads. */
  purge(options?: PurgeOptions): Promise<void>
  /** Removes the attachments now; a job removes blobs and objects. */
  purgeLater(): Promise<void>
}

/** The handle of a record's has-one. */
export interface OneAttached extends Attached {
  /**
   * Uploads a file now and attaches it. null: no file was given, or a transaction is open and the
   * file follows its commit.
   */
  attach(file: OneInput, options?: AttachOptions): Promise<Attachment | null>
  /**
   * Stages a file in the database; a worker attaches it. null: no file was given. Does not check
   * `required`.
   */
  attachLater(file: OneInput, options?: AttachOptions): Promise<DelayedUpload | null>
  /** Reads the attached file. null: there is none. */
  attachment(): Promise<Attachment | null>
  /** Reads the file to show: the newest pending or failed one, else the attached one. */
  latest(): Promise<Attachment | DelayedFile | null>
}

/** The handle of a record's has-many. */
export interface ManyAttached extends Attached {
  /**
   * Uploads files now and adds them. Inside a transaction they follow its commit and are not in the
   * result.
   */
  attach(files: ManyInput, options?: AttachOptions): Promise<Attachment[]>
  /**
   * Stages files in the database; a worker adds them. null: no file was given. Does not check
   * `required`.
   */
  attachLater(files: ManyInput, options?: AttachOptions): Promise<DelayedUpload | null>
  /** Reads the attached files, oldest first. */
  attachments(): Promise<Attachment[]>
  /**
   * Reads the files to show: attached ones that no pending `cleanBefore` replaces, then the pending
   * and failed ones.
   */
  latest(): Promise<(Attachment | DelayedFile)[]>
}

type OneKind = { readonly kind: 'one' }
/** Handles of a record's attachments by name. */
export type AttachedByName<D> = {
  readonly [K in keyof D]: D[K] extends OneKind ? OneAttached : ManyAttached
}
/** Files for a record's attachments by name. */
export type FilesByName<D> = {
  readonly [K in keyof D]?: D[K] extends OneKind ? OneInput : ManyInput
}

/** The result of `storage.record()`: the attachments by name, and methods for all of them. */
export type RecordAttachments<D> = AttachedByName<D> & {
  readonly type: string
  readonly id: string
  /** `attach` for each name, one after the other. Files of names before an error stay attached. */
  attach(files: FilesByName<D>, options?: AttachOptions): Promise<void>
  /**
   * `attachLater` for a whole form, in one transaction. Throws AttachmentRequiredError if a
   * `required` attachment of the record has no file then, also one that the form does not name.
   */
  attachLater(files: FilesByName<D>, options?: AttachOptions): Promise<DelayedUpload[]>
  /** `validate` for each name. */
  validate(): Promise<void>
  /** `whenAttached` for all names. */
  whenAttached(options?: WhenAttachedOptions): Promise<void>
  /**
   * Purges all attachments by jobs and discards pending uploads, for a record that is being
   * deleted.
   */
  purgeAllLater(): Promise<void>
}

/** A record's attachments, when their names are not known to the compiler. */
export type AnyRecordAttachments = RecordAttachments<Record<string, { kind: 'one' | 'many' }>>

/** Names that no attachment can have, because the record's handle has such a member. */
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

/** A record, its attachments, and the transaction that its handle works in. */
export interface RecordScope extends ChangeScope {
  readonly type: string
  /** The record's id in its canonical form. */
  readonly id: string
  readonly definitions: ReadonlyMap<string, AttachmentDefinition>
  readonly startAtCommit: AttachmentScope['startAtCommit']
}

/** Creates the handle of a record. Runs no statement. */
export function createRecordHandle(scope: RecordScope): AnyRecordAttachments {
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
      afterCommit: scope.afterCommit,
      startAtCommit: scope.startAtCommit,
      loaded,
    }
  }
  const validate = async (): Promise<void> => {
    for (const name of definitions.keys()) await checkRequired(scopeOf(name))
  }
  const handle: Record<string, unknown> = {
    type,
    id,
    async attach(files: Record<string, unknown>, options?: AttachOptions) {
      for (const [name, input] of toFileEntries(files, type, id))
        await attach(scopeOf(name), input, options)
    },
    async attachLater(files: Record<string, unknown>, options?: AttachOptions) {
      const submitted = toFileEntries(files, type, id).map(([name, input]) => ({
        scope: scopeOf(name),
        input,
      }))
      if (submitted.length === 0) return validate().then(() => [])
      const required = [...definitions.keys()].map(scopeOf)
      const uploads = await attachLater(submitted, { ...options, required })
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
  return handle as AnyRecordAttachments
}

/**
 * Throws for a File, a FormData or a promise: they have no own keys, so their files would be lost
 * as an empty form.
 */
function toFileEntries(files: unknown, type: string, id: string): [name: string, input: unknown][] {
  if (
    typeof files !== 'object' ||
    files === null ||
    Symbol.iterator in files ||
    Symbol.toStringTag in files
  )
    throw new InvalidInputError(
      `${formatValue(files)} is no object of files by attachment name. Give { photo: file }, or await the result of parseForm.`,
      { details: { record: { type, id } } },
    )
  return Object.entries(files)
}

function createAttached(scope: AttachmentScope): Attached {
  return {
    name: scope.lane.name,
    attached: async () => (await readAttachments(scope)).length > 0,
    delayedUploads: () => readDelayedUploads(scope),
    validate: () => checkRequired(scope),
    whenAttached: (options) => whenAttached({ ...scope, ...scope.lane }, scope.lane.name, options),
    detach: () => removeAll(scope, 'detach'),
    purge: (options) => removeAll(scope, 'purge', options),
    purgeLater: () => removeAll(scope, 'purgeLater'),
  }
}

function createOneAttached(scope: AttachmentScope): OneAttached {
  return {
    ...createAttached(scope),
    attach: async (file, options) => (await attach(scope, file, options))[0] ?? null,
    attachLater: async (file, options) =>
      (await attachLater([{ scope, input: file }], options))[0] ?? null,
    attachment: async () => (await readAttachments(scope)).at(-1) ?? null,
    latest: async () => (await readLatest(scope)).at(-1) ?? null,
  }
}

function createManyAttached(scope: AttachmentScope): ManyAttached {
  return {
    ...createAttached(scope),
    attach: (files, options) => attach(scope, files, options),
    attachLater: async (files, options) =>
      (await attachLater([{ scope, input: files }], options))[0] ?? null,
    attachments: () => readAttachments(scope),
    latest: () => readLatest(scope),
  }
}
