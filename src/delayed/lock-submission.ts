import type { Lane } from '../attachments/lane.ts'
import type { Session } from '../database/session.ts'
import { findFiles, lockUnlinkedFiles, type FileRow } from '../staging/file-rows.ts'
import { lockLaneUploads, type UploadRow } from './upload-rows.ts'

/** The staged files of a submission to one attachment. */
export interface SubmittedFiles {
  readonly lane: Lane
  /** Ids of staged files, in order. */
  readonly fileIds: readonly string[]
  /** Rows of the files that this call staged: no other submission knows their ids. */
  readonly stagedHere: readonly FileRow[]
}

/** The locked rows of a submission. */
export interface LockedSubmission {
  /** In the order of the submission, each once. null: one is missing. */
  readonly files: readonly FileRow[] | null
  /** Uploads of the lane; empty if they were not needed. */
  readonly uploads: readonly UploadRow[]
}

/** Returns whether a file was submitted. */
export const isLinked = (file: FileRow): boolean => file.uploadToken !== null

/**
 * Locks the files of a submission and, if one of them is linked already or `needsUploads` is set,
 * the lane's uploads before them: workers take these locks in the same order. The first look locks
 * only files that no upload has. MySQL would also lock the rows that a condition excludes, so the
 * first look takes no lock there.
 */
export async function lockSubmission(
  session: Session,
  { lane, fileIds, stagedHere }: SubmittedFiles,
  { needsUploads }: { readonly needsUploads: boolean },
): Promise<LockedSubmission> {
  const ids = [...new Set(fileIds)]
  const here = new Map(stagedHere.map((file) => [file.id, file]))
  const others = ids.filter((id) => !here.has(id))
  const lockUploads = () => lockLaneUploads(session, lane)
  let uploads = needsUploads ? await lockUploads() : null
  let files: readonly FileRow[] | null = null
  if (uploads === null) {
    const takesLocks = session.dialect !== 'mysql'
    const unlinked = takesLocks
      ? await lockUnlinkedFiles(session, others)
      : (await findFiles(session, others)).filter((file) => !isLinked(file))
    if (unlinked.length < others.length) uploads = await lockUploads()
    else if (takesLocks) files = unlinked
  }
  files ??= await findFiles(session, others, { lock: true })
  // MySQL: the look without a lock may show a snapshot that is older than the lane's lock.
  if (files.some(isLinked)) uploads ??= await lockUploads()
  const byId = new Map([...here.values(), ...files].map((file) => [file.id, file]))
  const found = ids.flatMap((id) => byId.get(id) ?? [])
  return { files: found.length < ids.length ? null : found, uploads: uploads ?? [] }
}
