import { renewDuringTransfer } from '../blobs/object-intents.ts'
import { ServiceError } from '../errors/errors.ts'
import type { DelayedContext } from './context.ts'
import { uploadErrorDetails } from './context.ts'
import type { PreparedFile } from './prepare-file.ts'
import { isLeaseHeld, type UploadRow } from './upload-rows.ts'

const WRITE_INTERVAL_MS = 500

/** Writes progress down as the service takes the bytes, and puts the clean-up of the object off meanwhile. */
export async function* trackProgress(
  delayed: DelayedContext,
  upload: UploadRow,
  prepared: PreparedFile,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { session } = delayed.store
  const { file, filename, key } = prepared
  const lost = (): ServiceError =>
    new ServiceError(
      `The transfer of ${filename} took so long that its clean-up began; it is sent again.`,
      {
        details: uploadErrorDetails(upload, filename),
      },
    )
  let sent = 0
  let told = performance.now()
  for await (const chunk of renewDuringTransfer(session, key, prepared.open(), lost)) {
    signal.throwIfAborted()
    yield chunk
    sent += chunk.length
    if (performance.now() - told <= WRITE_INTERVAL_MS) continue
    told = performance.now()
    await session.db
      .updateTable('files')
      .set({ uploaded_bytes: sent })
      .where('id', '=', file.id)
      .where(isLeaseHeld(upload))
      .execute()
      // It is only shown: no reason to end the transfer.
      .catch((error: unknown) =>
        delayed.log('debug', `The progress of ${filename} could not be written.`, {
          ...uploadErrorDetails(upload, filename),
          error,
        }),
      )
  }
}
