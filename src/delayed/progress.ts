import { renewing } from '../blobs/object-intents.ts'
import { ServiceError } from '../errors.ts'
import type { Delayed } from './definition.ts'
import { detailsOf } from './definition.ts'
import type { Prepared } from './prepare.ts'
import { isHeld, type UploadRow } from './upload-rows.ts'

const EVERY = 500

/** Writes progress down as the service takes the bytes, and puts the clean-up of the object off meanwhile. */
export async function* watched(
  delayed: Delayed,
  upload: UploadRow,
  prepared: Prepared,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { session } = delayed.store
  const { file, filename, key } = prepared
  const lost = (): ServiceError =>
    new ServiceError(
      `The transfer of ${filename} took so long that its clean-up began; it is sent again.`,
      {
        details: detailsOf(upload, filename),
      },
    )
  let sent = 0
  let told = performance.now()
  for await (const chunk of renewing(session, key, prepared.open(), lost)) {
    signal.throwIfAborted()
    yield chunk
    sent += chunk.length
    if (performance.now() - told <= EVERY) continue
    told = performance.now()
    await session.db
      .updateTable('files')
      .set({ uploaded_bytes: sent })
      .where('id', '=', file.id)
      .where(isHeld(upload))
      .execute()
      // It is only shown: no reason to end the transfer.
      .catch((error: unknown) =>
        delayed.report('debug', `The progress of ${filename} could not be written.`, {
          ...detailsOf(upload, filename),
          error,
        }),
      )
  }
}
