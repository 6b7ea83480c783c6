import { later } from '../database/expressions.ts'
import { sql } from 'kysely'
import { ActiveStorageError, RecordNotFoundError, ServiceError, UnknownAttachmentError, ConfigurationError } from '../errors.ts'
import { messageOf } from '../message.ts'
import { publishSuperseded, traced } from '../diagnostics.ts'
import type { Session } from '../database/session.ts'
import { abandonObject } from '../jobs/job-rows.ts'
import type { Leases } from '../jobs/leases.ts'
import { filesOf, findFiles, type FileRow } from '../staging/file-rows.ts'
import { attachFile } from './attach-file.ts'
import { detailsOf, type Delayed, type DelayedDefinition, type Report } from './definition.ts'
import { markTold, passHooks, reportHook, tellFile, tellHooks } from './hooks.ts'
import { LeaseLost } from './lease-lost.ts'
import { prepareFile } from './prepare.ts'
import { watched } from './progress.ts'
import { findUpload, wakeLane, type UploadRow } from './upload-rows.ts'

export type Outcome = 'uploaded' | 'retried' | 'failed' | 'superseded' | 'given-back'

export interface RunResult {
  readonly outcome: Outcome
  readonly error?: ActiveStorageError
  /** When it is due again. */
  readonly retryAt?: Date
}

/**
 * Carries the files of one claimed upload to their service and attaches each. A file that fails does not stop the
 * others. `stopping` gives the upload back, with its attempt.
 */
export async function runUpload(delayed: Delayed, leases: Leases, upload: UploadRow, stopping: AbortSignal): Promise<RunResult> {
  const lease = leases.hold(upload.leaseToken ?? '')
  const signal = AbortSignal.any([lease.signal, stopping])
  let woken = false
  const wake = async (): Promise<void> => {
    if (woken) return
    await wakeLane(delayed.store.session, delayed.store.recordId, upload.lane)
    woken = true
  }
  try {
    const { lane, token, attempts } = upload
    return await traced(
      'delayed_upload',
      { record: { type: lane.type, id: lane.id }, attachment: lane.name, upload: token, attempt: attempts },
      () => attempt(delayed, upload, wake, signal),
    )
  } catch (error) {
    if (error instanceof LeaseLost || lease.signal.aborted) {
      tellSuperseded(delayed.report, upload, 'An upload was superseded, discarded or taken over while it ran.')
      return { outcome: 'superseded' }
    }
    if (stopping.aborted) {
      await giveBack(delayed, upload)
      return { outcome: 'given-back' }
    }
    throw error
  } finally {
    lease.release()
    await wake()
  }
}

/** A later round of hooks of an upload whose files are attached. */
export async function runHooks(delayed: Delayed, leases: Leases, upload: UploadRow): Promise<void> {
  const definition = delayed.definition(upload.lane.type, upload.lane.name)
  if (definition === undefined) return
  const lease = leases.hold(upload.leaseToken ?? '')
  try {
    const record = await findRecord(delayed, upload)
    if (record instanceof ActiveStorageError) await passHooks(delayed, upload, record)
    else await tellHooks(delayed, definition, upload, record)
  } finally {
    lease.release()
  }
}

interface Failure {
  readonly file: FileRow
  readonly error: ActiveStorageError
}

async function attempt(delayed: Delayed, upload: UploadRow, wake: () => Promise<void>, signal: AbortSignal): Promise<RunResult> {
  const definition = delayed.definition(upload.lane.type, upload.lane.name)
  const files = (await filesOf(delayed.store.session, [upload.token])).filter((file) => file.state === 'staged')
  if (definition === undefined) {
    const error = new UnknownAttachmentError(`${upload.lane.type}.${upload.lane.name} is not defined here.`, { details: detailsOf(upload) })
    return settle(delayed, upload, { failures: files.map((file) => ({ file, error })), definition, record: null, wake })
  }
  const record = await findRecord(delayed, upload)
  if (record instanceof ActiveStorageError)
    return settle(delayed, upload, { failures: files.map((file) => ({ file, error: record })), definition, record: null, wake })
  const failures: Failure[] = []
  const told: string[] = []
  for (const file of files) {
    signal.throwIfAborted()
    try {
      const carried = await carry(delayed, definition, upload, file, record, wake, signal)
      if (carried === 'overtaken') return { outcome: 'superseded' }
      if (carried === 'gone') return { outcome: 'uploaded' }
      told.push(file.id)
    } catch (error) {
      if (error instanceof LeaseLost || signal.aborted) throw error
      failures.push({ file, error: toError(error, upload, file) })
    }
  }
  return settle(delayed, upload, { failures, definition, record, told, wake })
}

async function findRecord(delayed: Delayed, upload: UploadRow): Promise<unknown> {
  const { type, id } = upload.lane
  try {
    const record = await delayed.findRecord(type, id)
    if (record != null) return record
    return new RecordNotFoundError(
      `findRecord found no ${type} with id ${id}. Its bytes are kept: retry the upload when the record is there, or discard it.`,
      { details: detailsOf(upload) },
    )
  } catch (error) {
    return new RecordNotFoundError(`findRecord of ${type} threw for id ${id}: ${messageOf(error)}`, {
      details: detailsOf(upload),
      cause: error,
    })
  }
}

/** `overtaken`: the upload dropped itself. `gone`: it was the last file, and there is nobody to tell. */
type Carried = 'attached' | 'overtaken' | 'gone'

/** One file: prepare, send, attach, tell. */
async function carry(
  delayed: Delayed,
  definition: DelayedDefinition,
  upload: UploadRow,
  file: FileRow,
  record: unknown,
  wake: () => Promise<void>,
  signal: AbortSignal,
): Promise<Carried> {
  const service = delayed.services[definition.service]
  if (service === undefined)
    throw new ConfigurationError(
      `${upload.lane.type}.${upload.lane.name} goes to the service '${definition.service}', which is not configured.`,
    )
  const prepared = await prepareFile(delayed, definition, upload, file, record, signal)
  try {
    await service.upload(prepared.key, watched(delayed, upload, prepared, signal), {
      byteSize: prepared.byteSize,
      checksum: prepared.checksum,
      contentType: prepared.contentType,
      signal,
    })
  } finally {
    await prepared.dispose()
  }
  const attaching = traced('attach', { ...detailsOf(upload, prepared.filename), upload: upload.token }, () =>
    attachFile(delayed, definition, upload, prepared),
  )
  const { attachment, superseded, finished } = await attaching.catch(async (error: unknown) => {
    // Whatever became of its intent: an object that is not attached must not stay.
    if (error instanceof LeaseLost) throw error
    await abandonObject(delayed.store.session, prepared.service, prepared.key)
    if (delayed.store.database.isUniqueViolation(error)) await forgetKey(delayed.store.session, file.id)
    throw error
  })
  for (const other of superseded) tellSuperseded(delayed.report, other, 'An upload was superseded by a newer one.')
  if (attachment === null) return 'overtaken'
  if (finished === 'gone') return 'gone'
  // It is attached: what fails from here on is no failure of the upload, and a later round of hooks makes up for it.
  try {
    // Before the hooks, which may be slow.
    if (finished) await wake()
    if (definition.afterUpload === undefined) return 'attached'
    const [now] = await findFiles(delayed.store.session, [file.id])
    if (now !== undefined && (await tellFile(delayed, definition, upload, now, record, 1))) await markTold(delayed, now)
  } catch (error) {
    delayed.report('warn', `${file.filename} is attached; its hook could not be told, and is later.`, {
      ...detailsOf(upload, file.filename),
      error,
    })
  }
  return 'attached'
}

/** Another file has the key, in a case that this database does not tell apart: the next attempt chooses another. */
async function forgetKey(session: Session, fileId: string): Promise<void> {
  await session.db.updateTable('files').set({ blob_key: null }).where('id', '=', fileId).where('state', '=', 'staged').execute()
}

export function tellSuperseded(report: Report, { lane, token }: UploadRow, text: string): void {
  const message = { record: { type: lane.type, id: lane.id }, attachment: lane.name, upload: token }
  publishSuperseded(message)
  report('info', text, message)
}

interface Attempted {
  readonly failures: readonly Failure[]
  readonly definition: DelayedDefinition | undefined
  /** null: it could not be had. */
  readonly record: unknown
  /** Files whose hook had its turn. */
  readonly told?: readonly string[]
  /** Wakes the lane, once. */
  wake(): Promise<void>
}

/** Writes down how the attempt ended, then calls the hooks that belong to it. */
async function settle(
  delayed: Delayed,
  upload: UploadRow,
  { failures, definition, record, told = [], wake }: Attempted,
): Promise<RunResult> {
  const { session } = delayed.store
  if (failures.length === 0) {
    const current = await findUpload(session, upload.token)
    if (current === null || current.leaseToken !== upload.leaseToken) throw new LeaseLost()
    if (current.state === 'running') {
      // The rest had failed for good in an earlier attempt, and waits for a person.
      await session.db
        .updateTable('uploads')
        .set({ state: 'failed' })
        .where('id', '=', BigInt(upload.rowId))
        .where('lease_token', '=', upload.leaseToken)
        .execute()
      if (definition !== undefined) await tellHooks(delayed, definition, { ...current, state: 'failed' }, record, told)
      return { outcome: 'failed' }
    }
    if (definition !== undefined) await tellHooks(delayed, definition, current, record, told)
    return { outcome: 'uploaded' }
  }
  const mayRetry = upload.attempts < delayed.retries.attempts
  const final = failures.filter(({ error }) => !error.retryable || !mayRetry)
  const again = failures.length > final.length
  const delay = again ? backOff(delayed, upload.attempts) : 0
  const last = failures.at(-1)
  await delayed.store.transact(async (tx) => {
    const result = await tx.db
      .updateTable('uploads')
      .set({
        state: again ? 'pending' : 'failed',
        run_at: later(tx.dialect, delay),
        lease_token: null,
        lease_until: 0,
        last_error: last === undefined ? null : last.error.message,
      })
      .where('id', '=', BigInt(upload.rowId))
      .where('lease_token', '=', upload.leaseToken)
      .where('state', '=', 'running')
      .executeTakeFirst()
    if (Number(result.numUpdatedRows) !== 1) throw new LeaseLost()
    for (const { file, error } of failures)
      await tx.db
        .updateTable('files')
        .set({ state: final.some((each) => each.file === file) ? 'failed' : 'staged', last_error: error.message })
        .where('id', '=', file.id)
        .where('state', '=', 'staged')
        .execute()
  })
  // Before the hooks, which may be slow.
  await wake()
  for (const { file, error } of failures) {
    const retryAt = final.some((each) => each.file === file) ? null : new Date(Date.now() + delay)
    delayed.report(retryAt === null ? 'error' : 'warn', `${file.filename} could not be uploaded: ${error.message}`, {
      ...error.details,
      attempt: upload.attempts,
      retryAt,
      error,
    })
    if (definition === undefined || record === null) continue
    try {
      await definition.errorUpload?.(record, error, { upload, file, attachment: null, attempt: upload.attempts, retryAt })
    } catch (thrown) {
      reportHook(delayed, upload, 'errorUpload', thrown, file)
    }
  }
  return {
    outcome: again ? 'retried' : 'failed',
    ...(again ? { retryAt: new Date(Date.now() + delay) } : {}),
    ...(last === undefined ? {} : { error: last.error }),
  }
}

/** Returns the upload untouched: the attempt that was counted by its claim is taken back. */
async function giveBack(delayed: Delayed, upload: UploadRow): Promise<void> {
  await delayed.store.session.db
    .updateTable('uploads')
    .set({
      // Before the state: MariaDB assigns from left to right, and later ones see what earlier ones wrote.
      attempts: sql`case when state = 'running' and attempts > 0 then attempts - 1 else attempts end`,
      state: sql`case when state = 'running' then 'pending' else state end`,
      lease_token: null,
      lease_until: 0,
      run_at: 0,
    })
    .where('id', '=', BigInt(upload.rowId))
    .where('lease_token', '=', upload.leaseToken)
    .execute()
}

/** Doubles from `minDelay` to `maxDelay`, a quarter up or down, so that a service that comes back is not stormed. */
function backOff(delayed: Delayed, attempts: number): number {
  const { minDelay, maxDelay } = delayed.retries
  return Math.min(minDelay * 2 ** (attempts - 1), maxDelay) * (0.75 + Math.random() * 0.5)
}

function toError(error: unknown, upload: UploadRow, file: FileRow): ActiveStorageError {
  if (error instanceof ActiveStorageError)
    return Object.assign(error, { details: { ...detailsOf(upload, file.filename), ...error.details } })
  return new ServiceError(messageOf(error), { cause: error, details: detailsOf(upload, file.filename) })
}
