import { lockRows } from '../database/row-locks.ts'
import { now } from '../database/expressions.ts'
import type { ActiveStorageError } from '../errors/errors.ts'
import { toStorableMessage } from '../errors/message.ts'
import { createReference } from '../errors/public-error.ts'
import type { DelayedContext, DelayedDefinition } from './context.ts'
import { logHookError, runHooks } from './hooks.ts'
import { LeaseLostError } from './lease-lost.ts'
import { decideRetry, type FileFailure } from './retry-schedule.ts'
import { toPublicFileError, isVisitorError } from './public-upload-error.ts'
import { findUpload, type UploadRow } from './upload-rows.ts'
import { failUpload, postponeUpload } from './upload-transitions.ts'
import { failFiles } from '../staging/file-transitions.ts'
import { writeFileErrors } from '../staging/file-rows.ts'

export type UploadOutcome = 'uploaded' | 'retried' | 'failed' | 'superseded' | 'given-back'

export interface UploadResult {
  readonly outcome: UploadOutcome
  readonly error?: ActiveStorageError
  /** When it is due again, by the database's clock: as its row and its hooks have it. */
  readonly retryAt?: Date
  /** The same by `performance.now()`, whatever the two clocks say. */
  readonly dueAt?: number
  /** The service was away. */
  readonly isServiceUnavailable?: boolean
}

/** What came of an attempt. */
export interface AttemptOutcome {
  readonly delayed: DelayedContext
  readonly upload: UploadRow
  readonly failures: readonly FileFailure[]
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
export async function recordOutcome(attempted: AttemptOutcome): Promise<UploadResult> {
  const { delayed, upload, failures, definition, record, told } = attempted
  const { session } = delayed.store
  if (failures.length === 0) {
    const current = await findUpload(session, upload.token)
    if (current === null || current.leaseToken !== upload.leaseToken) throw new LeaseLostError()
    if (current.state === 'running') {
      // The rest had failed for good in an earlier attempt, and waits for a person.
      await failUpload(session, upload, null)
      await attempted.wake()
      if (definition !== undefined)
        await runHooks(delayed, definition, { ...current, state: 'failed' }, record, told)
      return { outcome: 'failed' }
    }
    if (definition !== undefined) await runHooks(delayed, definition, current, record, told)
    return { outcome: 'uploaded' }
  }
  const last = failures.at(-1)
  const reference = createReference()
  const { verdict, retryAt } = await writeFailures(attempted, reference)
  const from = performance.now()
  // Before the hooks, which may be slow.
  await attempted.wake()
  for (const { file, error } of failures) {
    const fileRetryAt = verdict.final.has(file) ? null : retryAt
    delayed.log(
      fileRetryAt === null ? 'error' : 'warn',
      `${file.filename} could not be uploaded: ${error.message}`,
      {
        ...error.details,
        ...(fileRetryAt !== null || isVisitorError(error) ? {} : { reference }),
        attempt: upload.attempts,
        retryAt: fileRetryAt,
        error,
      },
    )
    if (definition === undefined || record === null) continue
    try {
      await definition.errorUpload?.(record, error, {
        upload,
        file,
        attachment: null,
        attempt: upload.attempts,
        retryAt: fileRetryAt,
      })
    } catch (thrown) {
      logHookError(delayed, upload, 'errorUpload', thrown, file)
    }
  }
  return {
    outcome: verdict.again ? 'retried' : 'failed',
    ...(verdict.again ? { retryAt, dueAt: from + verdict.delay } : {}),
    ...(last === undefined ? {} : { error: last.error }),
  }
}

/** Fenced. The time of the next attempt is computed once, by the database's clock. */
async function writeFailures({ delayed, upload, failures }: AttemptOutcome, reference: string) {
  return delayed.store.transact(async (tx) => {
    let query = tx.db
      .selectFrom('uploads')
      .select(['unavailable_since', now(tx.dialect).as('now')])
      .where('id', '=', BigInt(upload.rowId))
      .where('lease_token', '=', upload.leaseToken)
      .where('state', '=', 'running')
    query = lockRows(query, tx.dialect)
    const row = await query.executeTakeFirst()
    if (row === undefined) throw new LeaseLostError()
    const times = { since: Number(row.unavailable_since), now: Number(row.now) }
    const verdict = decideRetry(delayed.retries, failures, { attempts: upload.attempts, ...times })
    const retryAt = new Date(times.now + verdict.delay)
    const attempt = {
      runAt: retryAt.getTime(),
      attempts: verdict.isCounted ? upload.attempts : upload.attempts - 1,
      unavailableSince: verdict.unavailableSince,
      lastError: toStorableMessage(failures.at(-1)?.error.message ?? ''),
    }
    await (verdict.again ? postponeUpload : failUpload)(tx, upload, attempt)
    for (const { file, error } of failures) {
      const isFinal = verdict.final.has(file)
      const errors = {
        lastError: toStorableMessage(error.message),
        publicError: toStorableMessage(toPublicFileError(error, file.filename, isFinal, reference)),
      }
      if (isFinal) await failFiles(tx, { ids: [file.id] }, errors)
      else await writeFileErrors(tx, file.id, errors)
    }
    return { verdict, retryAt }
  })
}
