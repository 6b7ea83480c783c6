import type { AttachmentRow } from '../attachments/attachment-rows.ts'
import type { Lane } from '../attachments/lane.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import type { DelayedDefinition } from '../delayed/definition.ts'
import type { Submitted } from '../delayed/direct.ts'
import type { UploadWithFiles } from '../delayed/upload-rows.ts'
import type { ErrorDetails } from '../errors.ts'
import type { Limits } from '../staging/limits.ts'
import type { AttachedContext } from './context.ts'
import type { AnyOptions } from './definitions.ts'

/** A definition with its defaults filled in. */
export interface SlotDefinition extends DelayedDefinition {
  readonly required: boolean
  readonly limits: Limits
  /** As the app gave them: see `withHooks`. */
  readonly hooks: Pick<AnyOptions, 'afterUpload' | 'afterUploadAll' | 'errorUpload'>
}

export interface SlotContext extends AttachedContext {
  /** Milliseconds. */
  readonly expiresIn: number
  findRecord(type: string, id: string): Promise<unknown>
  /** Where an ORM has the record, and a column for it: says that it was changed. */
  touch(type: string, id: string): Promise<void>
  /** Uploads them here, or waits for whoever has them. Milliseconds; default: `direct.timeout`. Throws AttachPendingError. */
  finish(uploads: readonly Submitted[], timeout?: number): Promise<void>
}

/** What `storage.records()` read for many records at once. */
export interface Loaded {
  readonly attachments: readonly AttachmentRow[]
  readonly uploads: readonly UploadWithFiles[]
}

/** Of a record; forgotten at the first change through a handle that has it. */
export interface LoadedCell {
  current: Loaded | null
}

export interface SlotScope {
  readonly context: SlotContext
  readonly lane: Lane
  readonly definition: SlotDefinition
  /** The user's transaction, if the record was asked for with one. */
  readonly session: (() => Promise<Session>) | null
  /** Has workers told when the user's transaction has been committed, where somebody tells of that. */
  readonly wakeAtCommit: () => void
  /** Has this process begin an upload when the user's transaction has been committed, where somebody tells of that. */
  readonly startAtCommit: (upload: Submitted) => void
  readonly loaded: LoadedCell
}

export const detailsOf = ({ type, id, name }: Lane): ErrorDetails => ({
  record: { type, id },
  attachment: name,
})

/** Runs in the user's transaction if there is one, else in one of our own. */
export async function within<T>(
  scope: SlotScope,
  run: (session: Session) => Promise<T>,
): Promise<T> {
  const store = await scope.context.store()
  scope.loaded.current = null
  if (scope.session !== null) {
    const result = await run(await scope.session())
    scope.wakeAtCommit()
    return result
  }
  const result = await store.transact((session) => run(session))
  scope.context.wake()
  return result
}

export async function reader(scope: SlotScope): Promise<{ session: Session; store: Store }> {
  const store = await scope.context.store()
  return { store, session: scope.session === null ? store.session : await scope.session() }
}

/** What values of this handle act on: the user's transaction; null: the pool. */
export const ownSession = async (scope: SlotScope): Promise<Session | null> =>
  scope.session === null ? null : scope.session()
