import type { LaneAttachment } from '../attachments/attachment-rows.ts'

/**
 * Files that a submission to a has-many names beside its new files, such as a form that sends the
 * signed ids of the files it keeps. The submission never replaces them, also when it is retried.
 */
export interface Keeps {
  /** Ids of blobs. */
  readonly blobs: readonly string[]
  /** Ids of staged files that are pending in an older upload. */
  readonly files: readonly string[]
}

/** The value of a submission that names no other files. */
export const KEEPS_NOTHING: Keeps = { blobs: [], files: [] }

/** Lists the attachments that a submission may replace. */
export const listReplaceable = <A extends LaneAttachment>(
  attached: readonly A[],
  keeps: Keeps,
): A[] => attached.filter(({ blobId }) => !keeps.blobs.includes(blobId))

/** Joins two values; each id is in the result once. */
export const mergeKeeps = (keeps: Keeps, more: Keeps): Keeps => ({
  blobs: [...new Set([...keeps.blobs, ...more.blobs])],
  files: [...new Set([...keeps.files, ...more.files])],
})

/** Counts the files of both kinds. */
export const countKeeps = ({ blobs, files }: Keeps): number => blobs.length + files.length
