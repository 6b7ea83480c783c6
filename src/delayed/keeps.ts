import type { LaneAttachment } from '../attachments/attachment-rows.ts'

/**
 * What a submission to a has-many names itself beside its new files, such as a form that sends the signed ids of the files it
 * keeps. Nothing of it is ever among what the submission replaces, also when it is retried.
 */
export interface Keeps {
  /** Ids of blobs. */
  readonly blobs: readonly string[]
  /** Ids of staged files that are on their way with an older upload. */
  readonly files: readonly string[]
}

export const KEEPS_NOTHING: Keeps = { blobs: [], files: [] }

/** The attachments that a submission may replace. */
export const findReplaceable = (attached: readonly LaneAttachment[], keeps: Keeps): string[] =>
  attached
    .filter(({ blobId }) => !keeps.blobs.includes(blobId))
    .map(({ attachmentId }) => attachmentId)
