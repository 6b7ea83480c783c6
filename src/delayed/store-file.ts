import { cleanUpFailedTransfer } from '../blobs/object-intents.ts'
import { toServiceMetadata } from '../blobs/safe-content-type.ts'
import { isOutcomeUnknown } from '../services/run-with-limit.ts'
import { clearChosenKey, type PreparedFile } from './prepare-file.ts'
import { trackProgress } from './track-progress.ts'
import type { UploadAttempt } from './upload-attempt.ts'

/**
 * Sends the bytes of a prepared file to its service. Throws the service's error; then the object is
 * deleted later, in case that the service has it all the same.
 */
export async function storeFile(attempt: UploadAttempt, prepared: PreparedFile): Promise<void> {
  const { context, signal } = attempt
  const { session } = context.store
  const { key, byteSize, checksum, contentType, filename } = prepared
  let isSent = false
  const bytes = async function* (): AsyncGenerator<Uint8Array> {
    yield* trackProgress(attempt, prepared)
    isSent = true
  }
  try {
    await prepared.service.upload(key, bytes(), {
      byteSize,
      checksum,
      ...toServiceMetadata(contentType, filename),
      signal,
    })
  } catch (error) {
    // The service may have all bytes, and may still store them. The key must belong to no file when
    // the object is deleted.
    if (isSent && (isOutcomeUnknown(error) || signal.aborted))
      await clearChosenKey(attempt, prepared.file).catch(() => undefined)
    await cleanUpFailedTransfer(session, prepared.serviceName, key, error)
    throw error
  }
}
