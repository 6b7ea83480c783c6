import type { BlobRow, NewBlob } from '../blobs/blob-rows.ts'
import type { Session } from '../database/session.ts'
import { planLink, type LinkPlan } from '../delayed/plan-link.ts'
import { ActiveStorageError } from '../errors/errors.ts'
import { type FileRow } from '../staging/file-rows.ts'
import type { Changes } from './changes.ts'
import { openSession, type AttachmentScope } from './scope.ts'
import { dropUnlinkedFile } from '../staging/file-transitions.ts'
import type { LaneLock } from '../attachments/lane.ts'

/** An object at its service, which is attached at once. */
export type StoredObject = StoredBlobObject | NewObject

/** An object whose blob has its row. */
export interface StoredBlobObject {
  readonly kind: 'blob'
  readonly blob: BlobRow
}

/** An object that this call has uploaded. Its blob's row is inserted at attach. */
export interface NewObject {
  readonly kind: 'object'
  readonly blob: NewBlob
  /** The staged file whose bytes the object has. null: its bytes were not staged. */
  readonly staged: FileRow | null
}

/** The changes of one attachment, with all bytes staged or at their service. */
export interface PreparedSubmission {
  readonly scope: AttachmentScope
  readonly changes: Changes
  /** Ids of the staged files to link, in order. */
  readonly fileIds: readonly string[]
  /** Rows of the files that this call staged. */
  readonly stagedHere: readonly FileRow[]
  /** Objects to attach at once. */
  readonly stored: readonly StoredObject[]
}

/** Returns whether a submission changes anything. */
export const hasChanges = ({ changes, fileIds, stored }: PreparedSubmission): boolean =>
  fileIds.length + stored.length + changes.deletedIds.length > 0 || changes.cleanBefore

/** Plans the changes of one attachment. `lock` is that of its lane. */
export function planSubmission(
  session: Session,
  { scope, changes, fileIds, stagedHere, stored }: PreparedSubmission,
  lock: LaneLock,
): Promise<LinkPlan> {
  const { lane, definition } = scope
  return planLink(session, {
    lane,
    lock,
    kind: definition.kind,
    fileIds,
    stagedHere,
    cleanBefore: changes.cleanBefore,
    deletedIds: changes.deletedIds,
    blobs: stored.map(({ kind, blob }) => (kind === 'blob' ? blob.id : null)),
    maxFiles: definition.maxFiles,
    limits: definition.limits,
  })
}

/**
 * Drops files that a failed call has staged. In a user's transaction, which the app may still
 * commit, it does so if the error is an ActiveStorageError or the reason of the aborted `signal`.
 * Any other error may be an SQL error: nothing can be run after it, and the rows roll back.
 */
export async function dropStagedFiles(
  scope: AttachmentScope,
  files: readonly FileRow[],
  error: unknown,
  signal: AbortSignal | undefined,
): Promise<void> {
  const isAbort = signal?.aborted === true && error === signal.reason
  if (scope.session !== null && !isAbort && !(error instanceof ActiveStorageError)) return
  const { session } = await openSession(scope)
  for (const { id } of files) await dropUnlinkedFile(session, id).catch(() => false)
}
