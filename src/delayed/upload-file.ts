import { abandonObject, cleanUpFailedTransfer } from '../blobs/object-intents.ts'
import { toServiceMetadata } from '../blobs/safe-content-type.ts'
import type { Session } from '../database/session.ts'
import { trace } from '../diagnostics/tracing.ts'
import { ConfigurationError } from '../errors/errors.ts'
import { isOutcomeUnknown } from '../services/run-with-limit.ts'
import type { Service } from '../services/service.ts'
import { deleteChunksOfFile } from '../staging/chunks.ts'
import { findFiles, type FileRow } from '../staging/file-rows.ts'
import { attachFile, type AttachResult } from './attach-file.ts'
import { uploadErrorDetails, type DelayedContext, type DelayedDefinition } from './context.ts'
import { markDone, runAfterUpload } from './hooks.ts'
import { prepareFile, type PreparedFile } from './prepare-file.ts'
import { trackProgress } from './track-progress.ts'
import { logSuperseded } from './log-superseded.ts'
import { isLeaseHeld, type UploadRow } from './upload-rows.ts'

/** One attempt at an upload whose record was found. */
export interface UploadAttempt {
  readonly delayed: DelayedContext
  readonly definition: DelayedDefinition
  readonly upload: UploadRow
  readonly record: unknown
  /** Aborts when the lease is lost, or the worker stops. */
  readonly signal: AbortSignal
  /** Wakes the lane, once. */
  wake(): Promise<void>
}

/** `overtaken`: the upload dropped itself. `gone`: it was the last file, and there is nobody to tell. */
export type FileOutcome = 'attached' | 'overtaken' | 'gone'

/** One file: prepare, send, attach, tell. */
export async function uploadFile(attempt: UploadAttempt, file: FileRow): Promise<FileOutcome> {
  const { delayed, definition, upload, record, signal } = attempt
  const service = delayed.services[definition.service]
  if (service === undefined)
    throw new ConfigurationError(
      `${upload.lane.type}.${upload.lane.name} goes to the service '${definition.service}', which is not configured.`,
      { details: uploadErrorDetails(upload, file.filename) },
    )
  const prepared = await prepareFile(delayed, definition, upload, file, record, signal)
  try {
    await sendBytes(attempt, file, service, prepared)
  } finally {
    await prepared.dispose()
  }
  const { attachment, superseded, rest } = await attachPreparedFile(attempt, file, prepared)
  for (const other of superseded.ended)
    logSuperseded(delayed.log, other, 'An upload was superseded by a newer one.')
  for (const other of superseded.reduced)
    delayed.log(
      'info',
      'Files of an upload were superseded by a newer one, which keeps the rest of them.',
      {
        ...uploadErrorDetails(other),
        upload: other.token,
      },
    )
  if (attachment === null) return 'overtaken'
  // It is attached: what fails from here on is no failure of the upload, and is made up for later.
  try {
    // Before hooks and clean-up, which may be slow.
    if (rest !== 'files') await attempt.wake()
    await runFileHook(attempt, file)
  } catch (error) {
    delayed.log('warn', `${file.filename} is attached; its hook could not be told, and is later.`, {
      ...uploadErrorDetails(upload, file.filename),
      error,
    })
  }
  return rest === 'nothing' ? 'gone' : 'attached'
}

async function sendBytes(
  { delayed, upload, signal }: UploadAttempt,
  file: FileRow,
  service: Service,
  prepared: PreparedFile,
): Promise<void> {
  const { session } = delayed.store
  const { key, byteSize, checksum, contentType, filename } = prepared
  let isSent = false
  const bytes = async function* (): AsyncGenerator<Uint8Array> {
    yield* trackProgress(delayed, upload, prepared, signal)
    isSent = true
  }
  try {
    await service.upload(key, bytes(), {
      byteSize,
      checksum,
      ...toServiceMetadata(contentType, filename),
      signal,
    })
  } catch (error) {
    // The service may have all the bytes, and store them yet: under a key that is nobody's until its clean-up has begun.
    if (isSent && (isOutcomeUnknown(error) || signal.aborted))
      await clearChosenKey(session, upload, file).catch(() => undefined)
    await cleanUpFailedTransfer(session, prepared.service, key, error)
    throw error
  }
}

async function attachPreparedFile(
  { delayed, definition, upload }: UploadAttempt,
  file: FileRow,
  prepared: PreparedFile,
): Promise<AttachResult> {
  const { store } = delayed
  try {
    return await trace(
      'attach',
      { ...uploadErrorDetails(upload, prepared.filename), upload: upload.token },
      () => attachFile(delayed, definition, upload, prepared),
    )
  } catch (error) {
    // Whatever became of its intent, an object that is not attached must not stay; what another worker attached, or is
    // sending, the clean-up leaves alone.
    await abandonObject(store.session, prepared.service, prepared.key)
    // Another file has the key, in a case that this database does not tell apart.
    if (store.database.isUniqueViolation(error)) await clearChosenKey(store.session, upload, file)
    throw error
  }
}

/** The next attempt chooses another key: this one is, or may become, another object's. */
async function clearChosenKey(session: Session, upload: UploadRow, file: FileRow): Promise<void> {
  await session.db
    .updateTable('files')
    .set({ blob_key: null })
    .where('id', '=', file.id)
    .where('state', '=', 'staged')
    .where(isLeaseHeld(upload))
    .execute()
}

async function runFileHook(
  { delayed, definition, upload, record }: UploadAttempt,
  file: FileRow,
): Promise<void> {
  const { session } = delayed.store
  // Without a hook it was told by being attached.
  if (definition.afterUpload === undefined) {
    await delayed.touch(upload.lane.type, upload.lane.id)
    return deleteChunksOfFile(session, file)
  }
  const [now] = await findFiles(session, [file.id])
  if (now !== undefined && (await runAfterUpload(delayed, definition, upload, now, record, 1)))
    await markDone(delayed, now)
}
