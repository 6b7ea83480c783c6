/** A delayed upload, whole, as the server tells it. */
export interface FollowedUpload {
  readonly id: string
  /** 'attached', 'superseded' and 'discarded' are the end; what has failed may be tried again. */
  readonly state: 'pending' | 'running' | 'attached' | 'failed' | 'superseded' | 'discarded'
  readonly attempts: number
  /** When it is tried next; null: it is over. */
  readonly runAt: string | null
  readonly lastError: string | null
  readonly files: readonly FollowedFile[]
}

/** One of its files. */
export interface FollowedFile {
  readonly id: string
  readonly filename: string
  readonly contentType: string
  /** Bytes. */
  readonly byteSize: number
  readonly state: 'staged' | 'uploading' | 'attached' | 'failed' | 'dropped'
  readonly uploadedBytes: number
  readonly lastError: string | null
  /** Where it is seen; null: it is gone. */
  readonly path: string | null
}

export const isUploadFinished = ({ state }: Pick<FollowedUpload, 'state'>): boolean =>
  ['attached', 'superseded', 'discarded'].includes(state)
