import type { AttachmentDefinition } from '../attached/context.ts'
import type { RowCache } from '../attached/scope.ts'
import type { RecordAttachments } from '../attached/record.ts'
import type { SubmittedUpload } from '../delayed/direct-uploads.ts'
import { ConfigurationError } from '../errors/errors.ts'
import type { RecordId } from './record-id.ts'

/** A model of an open storage, as the classes of an ORM see it. */
export interface StorageModel {
  /** What record_type holds. */
  readonly type: string
  readonly definitions: ReadonlyMap<string, AttachmentDefinition>
  /** `submitted` is called for each upload of a direct attach inside the transaction. */
  record(
    id: RecordId,
    transaction?: unknown,
    loaded?: RowCache,
    submitted?: (upload: SubmittedUpload) => void,
  ): RecordAttachments<Record<string, { kind: 'one' | 'many' }>>
  /** After a save: waits until they are attached, as the storage's option `direct` says. Throws AttachPendingError. */
  finish(uploads: readonly SubmittedUpload[]): Promise<void>
  /** What is attached and on its way to many records, in the order of `ids`, in two statements. */
  load(ids: readonly RecordId[], transaction?: unknown): Promise<RowCache[]>
  /** Keeps the bytes in `input`, whatever has-one or has-many takes, on a connection of the pool; gives it with staged files instead. */
  stage(name: string, input: unknown): Promise<unknown>
}

/** Whether a new record must come with a file. */
export const requiresFile = ({ definitions }: StorageModel): boolean =>
  [...definitions.values()].some(({ required }) => required)

const modelsByDefinitions = new WeakMap<object, Set<StorageModel>>()

/** Called for each model of a storage. Returns how it ends. */
export function registerModel(definitions: object, model: StorageModel): () => void {
  const all = modelsByDefinitions.get(definitions) ?? new Set()
  modelsByDefinitions.set(definitions, all.add(model))
  return () => void all.delete(model)
}

/** Throws ConfigurationError unless one open storage, and one of its models, has these very definitions. */
export function requireModel(definitions: object): StorageModel {
  const [model, another] = modelsByDefinitions.get(definitions) ?? []
  if (model === undefined)
    throw new ConfigurationError(
      'No open storage has these attachments: pass the same object to withAttachments and, in models, to createActiveStorage.',
    )
  if (another !== undefined)
    throw new ConfigurationError(
      `The attachments of ${model.type} are those of another model or of another storage too: a class has one. Make an object for each, and close a storage that is not used any more.`,
    )
  return model
}
