import type { LoadedCell, SlotDefinition } from '../attached/scope.ts'
import type { RecordAttachments } from '../attached/record.ts'
import type { Submitted } from '../delayed/direct.ts'
import { ConfigurationError } from '../errors.ts'
import type { RecordId } from './record-id.ts'

/** A model of an open storage, as the classes of an ORM see it. */
export interface BoundModel {
  /** What record_type holds. */
  readonly type: string
  readonly definitions: ReadonlyMap<string, SlotDefinition>
  /** `submitted` is called for each upload of a direct attach inside the transaction. */
  record(
    id: RecordId,
    transaction?: unknown,
    loaded?: LoadedCell,
    submitted?: (upload: Submitted) => void,
  ): RecordAttachments<Record<string, { kind: 'one' | 'many' }>>
  /** After a save: waits until they are attached, as the storage's option `direct` says. Throws AttachPendingError. */
  finish(uploads: readonly Submitted[]): Promise<void>
  /** What is attached and on its way to many records, in the order of `ids`, in two statements. */
  load(ids: readonly RecordId[], transaction?: unknown): Promise<LoadedCell[]>
  /** Keeps the bytes in `input`, whatever has-one or has-many takes, on a connection of the pool; gives it with staged files instead. */
  stage(name: string, input: unknown): Promise<unknown>
}

/** Whether a new record must come with a file. */
export const isAnyRequired = ({ definitions }: BoundModel): boolean =>
  [...definitions.values()].some(({ required }) => required)

const models = new WeakMap<object, Set<BoundModel>>()

/** Called for each model of a storage. Returns how it ends. */
export function bindModel(definitions: object, model: BoundModel): () => void {
  const all = models.get(definitions) ?? new Set()
  models.set(definitions, all.add(model))
  return () => void all.delete(model)
}

/** Throws ConfigurationError unless one open storage, and one of its models, has these very definitions. */
export function boundModel(definitions: object): BoundModel {
  const [model, another] = models.get(definitions) ?? []
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
