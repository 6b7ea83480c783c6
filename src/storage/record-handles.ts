import { preloadRecords } from '../attached/queries.ts'
import { createRecordHandle, type RecordAttachments, type RecordScope } from '../attached/record.ts'
import type { AttachmentDefinition, StorageContext } from '../attached/context.ts'
import type { RowCache } from '../attached/scope.ts'
import type { AnyAttachments } from '../attached/definitions.ts'
import { stageInput } from '../attached/stage.ts'
import { canonicalizeId } from '../attachments/lane.ts'
import type { Settings } from '../configuration/configuration.ts'
import { createAppTransactions, type AppTransactions } from '../database/app-transactions.ts'
import type { DirectAttaches } from '../delayed/direct-attaches.ts'
import { InvalidInputError, UnknownAttachmentError } from '../errors/errors.ts'
import { formatList, formatValue } from '../errors/message.ts'
import {
  registerModel,
  type RecordHandleOptions,
  type StorageModel,
} from '../orm/model-registry.ts'
import type { Id, TransactionOption } from './active-storage.ts'
import type { StorageParts } from './contexts.ts'

type AnyTransaction = TransactionOption<unknown>
type Handle = RecordAttachments<AnyAttachments>

type ScopeOptions = AnyTransaction & RecordHandleOptions

/** Hands out the attachments of records, to the app and to ORM classes. */
export class RecordHandles {
  /** Transactions that `storage.transaction` runs. */
  readonly transactions: AppTransactions<unknown>
  readonly #parts: StorageParts
  readonly #context: StorageContext
  readonly #directAttaches: DirectAttaches

  constructor(parts: StorageParts, context: StorageContext, directAttaches: DirectAttaches) {
    this.#parts = parts
    this.#context = context
    this.#directAttaches = directAttaches
    this.transactions = createAppTransactions(parts.settings.database, parts.wakeUps.wake)
  }

  /** Returns the attachments of one record. */
  find(model: string, id: Id, options: ScopeOptions): Handle {
    this.requireModel(model)
    return createRecordHandle(this.scope(model, this.#canonicalize(model, id), options))
  }

  /** Reads the attachments of many records at once, in the order of `ids`. */
  async list(model: string, ids: readonly Id[], options: AnyTransaction): Promise<Handle[]> {
    this.requireModel(model)
    if (!Array.isArray(ids))
      throw new InvalidInputError(
        `records of ${model} takes a list of ids: this is ${formatValue(ids)}.`,
      )
    const canonicalIds = ids.map((id) => this.#canonicalize(model, id))
    const rows = await this.#preload(model, canonicalIds, options)
    return canonicalIds.map((id, index) =>
      createRecordHandle(this.scope(model, id, { ...options, preloaded: rows[index] })),
    )
  }

  /** Throws UnknownAttachmentError for a model that is not defined. */
  requireModel(name: string): ReadonlyMap<string, AttachmentDefinition> {
    const { models } = this.#parts.settings
    const found = models.get(name)
    if (found === undefined)
      throw new UnknownAttachmentError(
        `There is no model ${formatValue(name)}; there are ${formatList([...models.keys()])}.`,
      )
    return found
  }

  /** Creates the scope of one record. `id` is canonical. */
  scope(
    type: string,
    id: string,
    { transaction, preloaded, onSubmitted }: ScopeOptions,
  ): RecordScope {
    const { store } = this.#parts
    return {
      context: this.#context,
      type,
      id,
      definitions: this.requireModel(type),
      session:
        transaction === undefined ? null : async () => (await store.open()).join(transaction),
      afterCommit: (done) => {
        if (transaction === undefined) done()
        else this.transactions.afterCommit(transaction, done)
      },
      startAtCommit: (upload) => {
        onSubmitted?.(upload)
        if (transaction !== undefined)
          this.transactions.afterCommit(transaction, () => this.#directAttaches.start(upload.token))
      },
      loaded: preloaded ?? { current: null },
    }
  }

  /**
   * Makes the models known to the ORM classes that have their attachments. Returns a function that
   * undoes it.
   */
  registerModels(): () => void {
    const { givenModels } = this.#parts.settings
    const unregister = Object.entries(givenModels).map(([name, attachments]) =>
      registerModel(attachments, this.#storageModel(name)),
    )
    return () => unregister.forEach((each) => each())
  }

  #storageModel(type: string): StorageModel {
    const definitions = this.requireModel(type)
    return {
      type,
      definitions,
      record: (id, transaction, options) => this.find(type, id, { transaction, ...options }),
      waitAfterSave: (uploads) => this.#directAttaches.waitAfterSave(uploads),
      load: async (ids, transaction) =>
        this.#preload(
          type,
          ids.map((id) => this.#canonicalize(type, id)),
          { transaction },
        ),
      stage: (name, input) => {
        const definition = definitions.get(name)
        if (definition === undefined)
          throw new UnknownAttachmentError(`${type} has no attachment ${formatValue(name)}.`)
        return stageInput(this.#context, definition, name, input)
      },
    }
  }

  async #preload(
    model: string,
    ids: readonly string[],
    { transaction }: AnyTransaction,
  ): Promise<RowCache[]> {
    const store = await this.#parts.store.open()
    const session = transaction === undefined ? store.session : store.join(transaction)
    return preloadRecords(session, model, ids)
  }

  #canonicalize(model: string, id: Id): string {
    return canonicalizeId(id, this.#parts.settings.recordId, model)
  }
}

/** Throws UnknownAttachmentError unless `attachment` is one, such as 'User.photo'. */
export function requireAttachment({ knownAttachments }: Settings, attachment: string): void {
  if (!knownAttachments.some(({ type, name }) => `${type}.${name}` === attachment))
    throw new UnknownAttachmentError(
      `There is no attachment ${formatValue(attachment)}; there are ${formatList(knownAttachments.map(({ type, name }) => `${type}.${name}`))}.`,
    )
}
