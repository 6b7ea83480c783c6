import { describeLane, type Lane } from '../attachments/lane.ts'
import { AttachPendingError, type ActiveStorageError } from '../errors/errors.ts'
import { formatFile } from '../errors/public-message.ts'

/** An upload that is not attached. null: no attempt of this process has failed. */
export interface UnattachedOutcome {
  /** 'pending': workers go on with it. 'failed': it is kept for `retry` or `discard`. */
  readonly state: 'pending' | 'failed'
  readonly error: ActiveStorageError | null
}

/** State of a direct attach's upload, as far as this process knows. */
export type DirectAttachOutcome = { readonly state: 'attached' } | UnattachedOutcome

/** The outcome of an upload that is attached, or that something newer replaced. */
export const ATTACHED: DirectAttachOutcome = { state: 'attached' }

/** The outcome of an upload that is still waited for. */
export const PENDING: UnattachedOutcome = { state: 'pending', error: null }

/** Returns whether to wait longer. */
export const isUndecided = (outcome: DirectAttachOutcome): boolean =>
  outcome.state === 'pending' && outcome.error === null

/**
 * Makes the error of a save whose record is committed and whose file is not attached. `filename`
 * names the file if the outcome's error does not.
 */
export function createPendingError(
  lane: Lane,
  filename: string | undefined,
  { state, error }: UnattachedOutcome,
): AttachPendingError {
  const { type, id, name } = lane
  const file = error?.details.filename ?? filename
  const details = {
    ...describeLane(lane),
    ...(file === undefined ? {} : { filename: file }),
  }
  const cause = error === null ? {} : { cause: error }
  const subject = file ?? `its ${name}`
  if (state === 'pending')
    return new AttachPendingError(
      `${type} ${id} is saved, but ${subject} is not attached yet: its upload goes on in the background. Do not save again.`,
      { ...cause, details },
    )
  return new AttachPendingError(
    `${type} ${id} is saved, but ${subject} could not be attached: its upload failed and is kept. Retry or discard it; do not save again.`,
    {
      ...cause,
      details,
      publicMessage: `What you entered is saved, but ${formatFile(details)} could not be stored. Open it and choose the file again.`,
    },
  )
}
