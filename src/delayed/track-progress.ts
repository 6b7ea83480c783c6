import { renewDuringTransfer } from '../blobs/object-intents.ts'
import { ServiceError } from '../errors/errors.ts'
import { uploadErrorDetails } from './context.ts'
import type { PreparedFile } from './prepare-file.ts'
import type { UploadAttempt } from './upload-attempt.ts'
import { isLeaseHeld } from './upload-rows.ts'

const WRITE_INTERVAL_MS = 500

/**
 * Yields the bytes of a file, writes how many the service has taken, and puts the object's intent
 * off meanwhile. Throws ServiceError when the intent has begun, or the reason of the signal.
 */
export async function* trackProgress(
  { context, upload, signal }: UploadAttempt,
  { file, filename, key, open }: PreparedFile,
): AsyncGenerator<Uint8Array> {
  const { session } = context.store
  const details = uploadErrorDetails(upload, filename)
  const createLostError = (): ServiceError =>
    new ServiceError(
      `The transfer of ${filename} took so long that its clean-up began; it is sent again.`,
      { details },
    )
  let sentBytes = 0
  let writtenAt = performance.now()
  for await (const chunk of renewDuringTransfer(session, key, open(), createLostError)) {
    signal.throwIfAborted()
    yield chunk
    sentBytes += chunk.length
    if (performance.now() - writtenAt <= WRITE_INTERVAL_MS) continue
    writtenAt = performance.now()
    await session.db
      .updateTable('files')
      .set({ uploaded_bytes: sentBytes })
      .where('id', '=', file.id)
      .where(isLeaseHeld(upload))
      .execute()
      // Progress is only shown: an error is no reason to end the transfer.
      .catch((error: unknown) =>
        context.log('debug', `The progress of ${filename} could not be written.`, {
          ...details,
          error,
        }),
      )
  }
}
