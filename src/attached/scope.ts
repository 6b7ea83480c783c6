import type { AttachmentRow } from '../attachments/attachment-rows.ts'
import type { Lane } from '../attachments/lane.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import type { SubmittedUpload } from '../delayed/direct-attaches.ts'
import type { UploadWithFiles } from '../delayed/upload-rows.ts'
import type { AttachmentDefinition, StorageContext } from './context.ts'

/** Rows that `storage.records()` read for many records at once. */
export interface PreloadedRows {
  readonly attachments: readonly AttachmentRow[]
  readonly uploads: readonly UploadWithFiles[]
}

/** Rows of one record. The first change through a handle of the record clears them. */
export interface RowCache {
  /** null: the rows were not read before, or were cleared. */
  current: PreloadedRows | null
}

/** One attachment of a record, and the transaction that its handle works in. */
export interface AttachmentScope {
  readonly context: StorageContext
  readonly lane: Lane
  readonly definition: AttachmentDefinition
  /** Opens a session in the user's transaction. null: the handle has none. */
  readonly session: (() => Promise<Session>) | null
  /** Wakes workers after the commit of the user's transaction, if the binding reports commits. */
  readonly wakeAtCommit: () => void
  /**
   * Starts an upload in this process after the commit of the user's transaction, if the binding
   * reports commits.
   */
  readonly startAtCommit: (upload: SubmittedUpload) => void
  /** Rows of the record that were read before. */
  readonly loaded: RowCache
}

/**
 * Runs a change in the user's transaction, or in a transaction of its own if the handle has none.
 */
export async function runChange<T>(
  scope: AttachmentScope,
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

/** Opens the session of the user's transaction, or the pool's if the handle has none. */
export async function openSession(
  scope: AttachmentScope,
): Promise<{ session: Session; store: Store }> {
  const store = await scope.context.store()
  return { store, session: scope.session === null ? store.session : await scope.session() }
}

/** Opens the session of the user's transaction. null: the handle has none. */
export const openUserSession = async (scope: AttachmentScope): Promise<Session | null> =>
  scope.session === null ? null : scope.session()
