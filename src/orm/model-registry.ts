import type { AttachmentDefinition } from '../attached/context.ts'
import { findOptions } from '../attached/definitions.ts'
import type { RowCache } from '../attached/scope.ts'
import type { SubmittedUpload } from '../delayed/direct-attaches.ts'
import { ConfigurationError } from '../errors/errors.ts'
import type { RecordId } from './record-id.ts'

/**
 * The part of `storage.record(…)` that ORMs use. It also has the handle of each attachment, by its
 * name.
 */
export interface RecordHandle {
  attach(files: Readonly<Record<string, unknown>>): Promise<void>
  attachLater(files: Readonly<Record<string, unknown>>): Promise<unknown>
  purgeAllLater(): Promise<void>
}

/** Options of a record's handle. */
export interface RecordHandleOptions {
  /** Rows of the record that were read before. */
  readonly preloaded?: RowCache | undefined
  /** Called for each upload of a direct attach inside the transaction. */
  readonly onSubmitted?: ((upload: SubmittedUpload) => void) | undefined
}

/** A model of an open storage, as the classes of an ORM use it. */
export interface StorageModel {
  /** The value of `record_type`. */
  readonly type: string
  readonly definitions: ReadonlyMap<string, AttachmentDefinition>
  /** Returns the handle of a record. `transaction` is the one to act in; default: none. */
  record(id: RecordId, transaction?: unknown, options?: RecordHandleOptions): RecordHandle
  /**
   * Waits after a save until its uploads are attached, as the storage's option `direct` says.
   * Throws AttachPendingError.
   */
  waitAfterSave(uploads: readonly SubmittedUpload[]): Promise<void>
  /**
   * Reads the attached and pending files of many records, in the order of `ids`, in two statements.
   */
  load(ids: readonly RecordId[], transaction?: unknown): Promise<RowCache[]>
  /**
   * Stages the bytes in `input` on a connection of the pool. Returns the input with staged files in
   * place of bytes.
   */
  stage(name: string, input: unknown): Promise<unknown>
}

/** Returns whether a new record of a model must come with a file. */
export const requiresFile = ({ definitions }: StorageModel): boolean =>
  [...definitions.values()].some(({ required }) => required)

/** Returns whether a new record must come with a file, also where no storage is open. */
export const isAnyRequired = (attachments: object): boolean =>
  Object.values(attachments).some(
    (definition: object) => findOptions(definition)?.required === true,
  )

const modelsByDefinitions = new WeakMap<object, Set<StorageModel>>()

/**
 * Makes a model of a storage known to the classes that have its definitions object. Returns the
 * function that ends this.
 */
export function registerModel(definitions: object, model: StorageModel): () => void {
  const models = modelsByDefinitions.get(definitions) ?? new Set()
  modelsByDefinitions.set(definitions, models.add(model))
  return () => void models.delete(model)
}

/**
 * Returns the model of the open storage that has this definitions object. Throws ConfigurationError
 * if there is none, or several.
 */
export function requireModel(definitions: object): StorageModel {
  const [model, another] = modelsByDefinitions.get(definitions) ?? []
  if (model === undefined)
    throw new ConfigurationError(
      'No open storage has these attachments: pass the same object to withAttachments and, in models, to createActiveStorage.',
    )
  if (another !== undefined)
    throw new ConfigurationError(
      `Another model or another open storage has the attachments object of ${model.type} too. Make an object for each, and close a storage that is not used any more.`,
    )
  return model
}
