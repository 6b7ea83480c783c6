import { now } from '../database/expressions.ts'
import { lockRows } from '../database/row-locks.ts'
import { toStorableMessage } from '../errors/message.ts'
import { createReference } from '../errors/public-error.ts'
import { writeFileErrors } from '../staging/file-rows.ts'
import { failFiles } from '../staging/file-transitions.ts'
import type { DelayedContext } from './context.ts'
import { runErrorUpload } from './hooks.ts'
import { LeaseLostError } from './lease-lost.ts'
import { isVisitorError, toPublicFileError } from './public-upload-error.ts'
import { decideRetry, type FileFailure, type RetryDecision } from './retry-schedule.ts'
import type { MissingTarget, UploadTarget } from './upload-attempt.ts'
import type { UploadResult } from './upload-outcome.ts'
import type { UploadRow } from './upload-rows.ts'
import { failUpload, postponeUpload } from './upload-transitions.ts'

/** The failures of one attempt, as they were written. */
export interface RecordedFailures {
  readonly failures: readonly FileFailure[]
  readonly decision: RetryDecision
  /** When the files that are retried are due, by the database's clock. */
  readonly retryAt: Date
  /** Stands in the log and in the visitors' text of a final failure. */
  readonly reference: string
  readonly result: UploadResult
}

/**
 * Writes the failures of an attempt, under the upload's lease: the upload is retried or has failed.
 * The time of the retry is computed once, by the database's clock. Throws LeaseLostError.
 */
export async function recordFailures(
  { store, retries }: DelayedContext,
  upload: UploadRow,
  failures: readonly FileFailure[],
): Promise<RecordedFailures> {
  const reference = createReference()
  const { decision, retryAt } = await store.transact(async (tx) => {
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
    const decision = decideRetry(retries, failures, { attempts: upload.attempts, ...times })
    const retryAt = new Date(times.now + decision.delay)
    const attempt = {
      runAt: retryAt.getTime(),
      attempts: decision.isCounted ? upload.attempts : upload.attempts - 1,
      unavailableSince: decision.unavailableSince,
      lastError: toStorableMessage(failures.at(-1)?.error.message ?? ''),
    }
    await (decision.isRetried ? postponeUpload : failUpload)(tx, upload, attempt)
    for (const { file, error } of failures) {
      const isFinal = decision.final.has(file)
      const errors = {
        lastError: toStorableMessage(error.message),
        publicError: toStorableMessage(toPublicFileError(error, file.filename, isFinal, reference)),
      }
      if (isFinal) await failFiles(tx, { ids: [file.id] }, errors)
      else await writeFileErrors(tx, file.id, errors)
    }
    return { decision, retryAt }
  })
  const error = failures.at(-1)?.error
  const result: UploadResult =
    decision.isRetried && error !== undefined
      ? { outcome: 'retried', error, retryAt, dueAt: performance.now() + decision.delay }
      : { outcome: 'failed', error }
  return { failures, decision, retryAt, reference, result }
}

/** Logs each failure and runs `errorUpload` for it. Without a record, no hook runs. */
export async function reportFailures(
  context: DelayedContext,
  upload: UploadRow,
  target: UploadTarget | MissingTarget,
  { failures, decision, retryAt, reference }: RecordedFailures,
): Promise<void> {
  for (const failure of failures) {
    const { file, error } = failure
    const fileRetryAt = decision.final.has(file) ? null : retryAt
    const hasReference = fileRetryAt === null && !isVisitorError(error)
    context.log(
      fileRetryAt === null ? 'error' : 'warn',
      `${file.filename} could not be uploaded: ${error.message}`,
      {
        ...error.details,
        ...(hasReference ? { reference } : {}),
        attempt: upload.attempts,
        retryAt: fileRetryAt,
        error,
      },
    )
    if (!('error' in target))
      await runErrorUpload({ ...target, context, upload }, failure, fileRetryAt)
  }
}
