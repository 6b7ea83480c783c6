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

/** The transaction that a handle or a value makes its changes in. */
export interface ChangeScope {
  readonly context: StorageContext
  /** Opens a session in the user's transaction. null: there is none. */
  readonly session: (() => Promise<Session>) | null
  /**
   * Calls `done` after the commit of the user's transaction, if the binding reports commits, and at
   * once if there is no such transaction.
   */
  readonly afterCommit: (done: () => void) => void
  /** Rows of the record that were read before. */
  readonly loaded: RowCache
}

/** One attachment of a record, and the transaction that its handle works in. */
export interface AttachmentScope extends ChangeScope {
  readonly lane: Lane
  readonly definition: AttachmentDefinition
  /**
   * Starts an upload in this process after the commit of the user's transaction, if the binding
   * reports commits.
   */
  readonly startAtCommit: (upload: SubmittedUpload) => void
}

/** Creates the scope of a value that was read outside of a user's transaction. */
export function createChangeScope(context: StorageContext): ChangeScope {
  return { context, session: null, afterCommit: (done) => done(), loaded: { current: null } }
}

/** A transaction that a change runs in. */
export interface OpenChange {
  readonly session: Session
  /** Calls `done` after the commit: see `ChangeScope.afterCommit`. */
  readonly afterCommit: (done: () => void) => void
}

/**
 * Applies a change in the user's transaction, or in a transaction of its own if the scope has none.
 */
export async function applyChange<T>(
  scope: ChangeScope,
  run: (change: OpenChange) => Promise<T>,
): Promise<T> {
  const { context, session, afterCommit } = scope
  const store = await context.store()
  scope.loaded.current = null
  if (session !== null) return run({ session: await session(), afterCommit })
  let callbacks: (() => void)[] = []
  const result = await store.transact((own) => {
    // The transaction may run twice.
    callbacks = []
    return run({ session: own, afterCommit: (done) => callbacks.push(done) })
  })
  for (const done of callbacks) done()
  return result
}

/** Applies a change, and wakes workers after its commit. */
export async function runChange<T>(
  scope: ChangeScope,
  run: (change: OpenChange) => Promise<T>,
): Promise<T> {
  const result = await applyChange(scope, run)
  scope.afterCommit(scope.context.wake)
  return result
}

/** Opens the session of the user's transaction, or the pool's if the scope has none. */
export async function openSession(scope: ChangeScope): Promise<{ session: Session; store: Store }> {
  const store = await scope.context.store()
  return { store, session: scope.session === null ? store.session : await scope.session() }
}
