import { abandonObject, expectLate, renewUntil } from '../blobs/object-intents.ts'
import { storedAs } from '../blobs/serving.ts'
import type { Session } from '../database/session.ts'
import { traced } from '../diagnostics.ts'
import { ConfigurationError } from '../errors.ts'
import { endOf, isUnanswered } from '../services/bounded.ts'
import type { Service } from '../services/service.ts'
import { deleteBytes } from '../staging/chunks.ts'
import { findFiles, type FileRow } from '../staging/file-rows.ts'
import { attachFile, type AttachResult } from './attach-file.ts'
import { detailsOf, type Delayed, type DelayedDefinition } from './definition.ts'
import { markTold, tellFile } from './hooks.ts'
import { prepareFile, type Prepared } from './prepare.ts'
import { watched } from './progress.ts'
import { tellSuperseded } from './superseded.ts'
import { isHeld, type UploadRow } from './upload-rows.ts'

/** One attempt at an upload whose record was found. */
export interface Attempt {
  readonly delayed: Delayed
  readonly definition: DelayedDefinition
  readonly upload: UploadRow
  readonly record: unknown
  /** Aborts when the lease is lost, or the worker stops. */
  readonly signal: AbortSignal
  /** Wakes the lane, once. */
  wake(): Promise<void>
}

/** `overtaken`: the upload dropped itself. `gone`: it was the last file, and there is nobody to tell. */
export type Carried = 'attached' | 'overtaken' | 'gone'

/** One file: prepare, send, attach, tell. */
export async function carry(attempt: Attempt, file: FileRow): Promise<Carried> {
  const { delayed, definition, upload, record, signal } = attempt
  const service = delayed.services[definition.service]
  if (service === undefined)
    throw new ConfigurationError(
      `${upload.lane.type}.${upload.lane.name} goes to the service '${definition.service}', which is not configured.`,
      { details: detailsOf(upload, file.filename) },
    )
  const prepared = await prepareFile(delayed, definition, upload, file, record, signal)
  try {
    await send(attempt, file, service, prepared)
  } finally {
    await prepared.dispose()
  }
  const { attachment, superseded, finished } = await attached(attempt, file, prepared)
  for (const other of superseded.ended)
    tellSuperseded(delayed.report, other, 'An upload was superseded by a newer one.')
  for (const other of superseded.thinned)
    delayed.report(
      'info',
      'Files of an upload were superseded by a newer one, which keeps the rest of them.',
      {
        ...detailsOf(other),
        upload: other.token,
      },
    )
  if (attachment === null) return 'overtaken'
  // It is attached: what fails from here on is no failure of the upload, and is made up for later.
  try {
    // Before hooks and clean-up, which may be slow.
    if (finished !== false) await attempt.wake()
    await tell(attempt, file)
  } catch (error) {
    delayed.report(
      'warn',
      `${file.filename} is attached; its hook could not be told, and is later.`,
      {
        ...detailsOf(upload, file.filename),
        error,
      },
    )
  }
  return finished === 'gone' ? 'gone' : 'attached'
}

async function send(
  { delayed, upload, signal }: Attempt,
  file: FileRow,
  service: Service,
  prepared: Prepared,
): Promise<void> {
  const { session } = delayed.store
  const { key, byteSize, checksum, contentType, filename } = prepared
  let isSent = false
  const bytes = async function* (): AsyncGenerator<Uint8Array> {
    yield* watched(delayed, upload, prepared, signal)
    isSent = true
  }
  try {
    await service.upload(key, bytes(), {
      byteSize,
      checksum,
      ...storedAs(contentType, filename),
      signal,
    })
  } catch (error) {
    // The service may have all the bytes, and store them yet: under a key that is nobody's until its clean-up has begun.
    if (isSent && (isUnanswered(error) || signal.aborted))
      await forgetKey(session, upload, file).catch(() => undefined)
    await expectLate(session, prepared.service, key).catch(() => undefined)
    renewUntil(session, key, endOf(error))
    throw error
  }
}

async function attached(
  { delayed, definition, upload }: Attempt,
  file: FileRow,
  prepared: Prepared,
): Promise<AttachResult> {
  const { store } = delayed
  try {
    return await traced(
      'attach',
      { ...detailsOf(upload, prepared.filename), upload: upload.token },
      () => attachFile(delayed, definition, upload, prepared),
    )
  } catch (error) {
    // Whatever became of its intent, an object that is not attached must not stay; what another worker attached, or is
    // sending, the clean-up leaves alone.
    await abandonObject(store.session, prepared.service, prepared.key)
    // Another file has the key, in a case that this database does not tell apart.
    if (store.database.isUniqueViolation(error)) await forgetKey(store.session, upload, file)
    throw error
  }
}

/** The next attempt chooses another key: this one is, or may become, another object's. */
async function forgetKey(session: Session, upload: UploadRow, file: FileRow): Promise<void> {
  await session.db
    .updateTable('files')
    .set({ blob_key: null })
    .where('id', '=', file.id)
    .where('state', '=', 'staged')
    .where(isHeld(upload))
    .execute()
}

async function tell(
  { delayed, definition, upload, record }: Attempt,
  file: FileRow,
): Promise<void> {
  const { session } = delayed.store
  // Without a hook it was told by being attached.
  if (definition.afterUpload === undefined) {
    await delayed.touch(upload.lane.type, upload.lane.id)
    return deleteBytes(session, file)
  }
  const [now] = await findFiles(session, [file.id])
  if (now !== undefined && (await tellFile(delayed, definition, upload, now, record, 1)))
    await markTold(delayed, now)
}
