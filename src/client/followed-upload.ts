/** State of a delayed upload, as the server sends it. */
export interface FollowedUpload {
  readonly id: string
  /** 'attached', 'superseded' and 'discarded' are final. A failed upload may be retried. */
  readonly state: 'pending' | 'running' | 'attached' | 'failed' | 'superseded' | 'discarded'
  /** Number of attempts so far. */
  readonly attempts: number
  /** Time of the next attempt (ISO 8601). null: there will be none. */
  readonly runAt: string | null
  /** Error of the last attempt, as text for the visitor. */
  readonly lastError: string | null
  readonly files: readonly FollowedFile[]
}

/** One file of an upload. */
export interface FollowedFile {
  readonly id: string
  readonly filename: string
  readonly contentType: string
  /** Bytes. */
  readonly byteSize: number
  readonly state: 'staged' | 'uploading' | 'attached' | 'failed' | 'dropped'
  /** Bytes that the service has received. */
  readonly uploadedBytes: number
  /** Error of the last attempt, as text for the visitor. */
  readonly lastError: string | null
  /** Path of the file in the app. null: the file is gone. */
  readonly path: string | null
}

/** Returns whether the upload's state is final. */
export const isUploadFinished = ({ state }: Pick<FollowedUpload, 'state'>): boolean =>
  ['attached', 'superseded', 'discarded'].includes(state)
