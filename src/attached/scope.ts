import type { AttachmentRow } from '../attachments/attachment-rows.ts'
import type { Lane } from '../attachments/lane.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import type { SubmittedUpload } from '../delayed/direct-uploads.ts'
import type { UploadWithFiles } from '../delayed/upload-rows.ts'
import type { ErrorDetails } from '../errors/errors.ts'
import type { AttachmentDefinition, StorageContext } from './context.ts'

/** What `storage.records()` read for many records at once. */
export interface PreloadedRows {
  readonly attachments: readonly AttachmentRow[]
  readonly uploads: readonly UploadWithFiles[]
}

/** Of a record; forgotten at the first change through a handle that has it. */
export interface RowCache {
  current: PreloadedRows | null
}

export interface AttachmentScope {
  readonly context: StorageContext
  readonly lane: Lane
  readonly definition: AttachmentDefinition
  /** The user's transaction, if the record was asked for with one. */
  readonly session: (() => Promise<Session>) | null
  /** Has workers told when the user's transaction has been committed, where somebody tells of that. */
  readonly wakeAtCommit: () => void
  /** Has this process begin an upload when the user's transaction has been committed, where somebody tells of that. */
  readonly startAtCommit: (upload: SubmittedUpload) => void
  readonly loaded: RowCache
}

export const detailsOfLane = ({ type, id, name }: Lane): ErrorDetails => ({
  record: { type, id },
  attachment: name,
})

/** Runs in the user's transaction if there is one, else in one of our own. */
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

export async function openSession(
  scope: AttachmentScope,
): Promise<{ session: Session; store: Store }> {
  const store = await scope.context.store()
  return { store, session: scope.session === null ? store.session : await scope.session() }
}

/** What values of this handle act on: the user's transaction; null: the pool. */
export const openUserSession = async (scope: AttachmentScope): Promise<Session | null> =>
  scope.session === null ? null : scope.session()
