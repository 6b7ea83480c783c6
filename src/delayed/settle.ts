import { sql } from 'kysely'
import { later, now } from '../database/expressions.ts'
import type { ActiveStorageError } from '../errors.ts'
import { storedMessage } from '../message.ts'
import { newReference } from '../public-error.ts'
import type { FileRow } from '../staging/file-rows.ts'
import type { Delayed, DelayedDefinition } from './definition.ts'
import { reportHook, tellHooks } from './hooks.ts'
import { LeaseLost } from './lease-lost.ts'
import { errorToShow, isForVisitor } from './shown-error.ts'
import { findUpload, type UploadRow } from './upload-rows.ts'

export type Outcome = 'uploaded' | 'retried' | 'failed' | 'superseded' | 'given-back'

export interface RunResult {
  readonly outcome: Outcome
  readonly error?: ActiveStorageError
  /** When it is due again. */
  readonly retryAt?: Date
}

/** A file that could not be carried, and why. */
export interface Failure {
  readonly file: FileRow
  readonly error: ActiveStorageError
}

/** What came of an attempt. */
export interface Attempted {
  readonly delayed: Delayed
  readonly upload: UploadRow
  readonly failures: readonly Failure[]
  /** undefined: this process does not know the attachment. */
  readonly definition: DelayedDefinition | undefined
  /** null: it could not be had. */
  readonly record: unknown
  /** Files whose hook had its turn. */
  readonly told: readonly string[]
  /** Wakes the lane, once. */
  wake(): Promise<void>
}

/** Writes down how the attempt ended, then calls the hooks that belong to it. */
export async function settle(attempted: Attempted): Promise<RunResult> {
  const { delayed, upload, failures, definition, record, told } = attempted
  const { session } = delayed.store
  if (failures.length === 0) {
    const current = await findUpload(session, upload.token)
    if (current === null || current.leaseToken !== upload.leaseToken) throw new LeaseLost()
    if (current.state === 'running') {
      // The rest had failed for good in an earlier attempt, and waits for a person.
      await session.db
        .updateTable('uploads')
        .set({ state: 'failed', run_at: now(session.dialect) })
        .where('id', '=', BigInt(upload.rowId))
        .where('lease_token', '=', upload.leaseToken)
        .execute()
      await attempted.wake()
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
  const reference = newReference()
  const isFinal = (file: FileRow): boolean => final.some((each) => each.file === file)
  await delayed.store.transact(async (tx) => {
    const result = await tx.db
      .updateTable('uploads')
      .set({
        state: again ? 'pending' : 'failed',
        run_at: later(tx.dialect, delay),
        lease_token: null,
        lease_until: 0,
        last_error: last === undefined ? null : storedMessage(last.error.message),
      })
      .where('id', '=', BigInt(upload.rowId))
      .where('lease_token', '=', upload.leaseToken)
      .where('state', '=', 'running')
      .executeTakeFirst()
    if (Number(result.numUpdatedRows) !== 1) throw new LeaseLost()
    for (const { file, error } of failures)
      await tx.db
        .updateTable('files')
        .set({
          state: isFinal(file) ? 'failed' : 'staged',
          last_error: storedMessage(error.message),
          public_error: storedMessage(errorToShow(error, file.filename, isFinal(file), reference)),
        })
        .where('id', '=', file.id)
        .where('state', '=', 'staged')
        .execute()
  })
  // Before the hooks, which may be slow.
  await attempted.wake()
  for (const { file, error } of failures) {
    const retryAt = isFinal(file) ? null : new Date(Date.now() + delay)
    delayed.report(retryAt === null ? 'error' : 'warn', `${file.filename} could not be uploaded: ${error.message}`, {
      ...error.details,
      ...(retryAt !== null || isForVisitor(error) ? {} : { reference }),
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
export async function giveBack(delayed: Delayed, upload: UploadRow): Promise<void> {
  await delayed.store.session.db
    .updateTable('uploads')
    .set({
      // Before the state: MariaDB assigns from left to right, and later ones see what earlier ones wrote.
      attempts: sql`case when state = 'running' and attempts > 0 then attempts - 1 else attempts end`,
      state: sql`case when state = 'running' then 'pending' else state end`,
      lease_token: null,
      lease_until: 0,
      run_at: 0,
      enqueued_at: 0,
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
