import {
  ActiveStorageError,
  RecordNotFoundError,
  ServiceError,
  ServiceUnavailableError,
  UnknownAttachmentError,
} from '../errors/errors.ts'
import { appendDetails, messageOf } from '../errors/message.ts'
import { trace } from '../diagnostics/tracing.ts'
import type { Leases } from '../jobs/leases.ts'
import { findFilesOfUploads, type FileRow } from '../staging/file-rows.ts'
import { uploadFile } from './upload-file.ts'
import { uploadErrorDetails, type DelayedContext } from './context.ts'
import { skipHookRound, runHooks } from './hooks.ts'
import { LeaseLostError } from './lease-lost.ts'
import type { FileFailure } from './retry-schedule.ts'
import { recordOutcome, type UploadResult } from './record-outcome.ts'
import { wakeLane, type UploadRow } from './upload-rows.ts'
import { releaseUpload } from './upload-transitions.ts'

/**
 * Carries the files of one claimed upload to their service and attaches each. A file that fails does not stop the
 * others. `stopping` gives the upload back, with its attempt.
 */
export async function runUpload(
  delayed: DelayedContext,
  leases: Leases,
  upload: UploadRow,
  stopping: AbortSignal,
): Promise<UploadResult> {
  const { lane, token, attempts } = upload
  const lease = leases.hold(upload.leaseToken ?? '')
  const signal = AbortSignal.any([lease.signal, stopping])
  let woken = false
  const wake = async (): Promise<void> => {
    if (woken) return
    await wakeLane(delayed.store.session, lane)
    woken = true
  }
  try {
    return await trace(
      'delayed_upload',
      {
        record: { type: lane.type, id: lane.id },
        attachment: lane.name,
        upload: token,
        attempt: attempts,
      },
      () => attemptUpload(delayed, upload, wake, signal),
    )
  } catch (error) {
    if (error instanceof LeaseLostError || lease.signal.aborted) {
      // Who superseded it told so; here it is only known that it is no longer ours.
      delayed.log('info', 'An upload was superseded, discarded or taken over while it ran.', {
        ...uploadErrorDetails(upload),
        upload: token,
      })
      return { outcome: 'superseded' }
    }
    if (stopping.aborted) {
      await releaseUpload(delayed.store.session, upload)
      return { outcome: 'given-back' }
    }
    throw error
  } finally {
    lease.release()
    await wake().catch((error: unknown) =>
      delayed.log(
        'warn',
        'The next upload of its lane could not be woken; it begins within half a minute.',
        {
          ...uploadErrorDetails(upload),
          error,
        },
      ),
    )
  }
}

/** A later round of hooks of an upload whose files are attached. */
export async function runHookRound(
  delayed: DelayedContext,
  leases: Leases,
  upload: UploadRow,
): Promise<void> {
  const definition = delayed.findDefinition(upload.lane.type, upload.lane.name)
  if (definition === undefined) return
  const lease = leases.hold(upload.leaseToken ?? '')
  try {
    const record = await findRecord(delayed, upload)
    if (record instanceof ActiveStorageError) await skipHookRound(delayed, upload, record)
    else await runHooks(delayed, definition, upload, record)
  } finally {
    lease.release()
  }
}

async function attemptUpload(
  delayed: DelayedContext,
  upload: UploadRow,
  wake: () => Promise<void>,
  signal: AbortSignal,
): Promise<UploadResult> {
  const definition = delayed.findDefinition(upload.lane.type, upload.lane.name)
  const files = (await findFilesOfUploads(delayed.store.session, [upload.token])).filter(
    (file) => file.state === 'staged',
  )
  const record =
    definition === undefined
      ? new UnknownAttachmentError(`${upload.lane.type}.${upload.lane.name} is not defined here.`, {
          details: uploadErrorDetails(upload),
        })
      : await findRecord(delayed, upload)
  const attempted = { delayed, upload, definition, wake }
  if (definition === undefined || record instanceof ActiveStorageError) {
    const failures = files.map((file) => ({ file, error: record as ActiveStorageError }))
    return recordOutcome({ ...attempted, failures, record: null, told: [] })
  }
  const failures: FileFailure[] = []
  const told: string[] = []
  for (const file of files) {
    signal.throwIfAborted()
    try {
      const carried = await uploadFile({ delayed, definition, upload, record, wake, signal }, file)
      if (carried === 'overtaken') return { outcome: 'superseded' }
      if (carried === 'gone') return { outcome: 'uploaded' }
      told.push(file.id)
    } catch (error) {
      if (error instanceof LeaseLostError || signal.aborted) throw error
      if (!(error instanceof ServiceUnavailableError)) {
        failures.push({ file, error: toUploadError(error, upload, file) })
        continue
      }
      // The others would only wait for it too.
      for (const each of files.slice(files.indexOf(file)))
        failures.push({
          file: each,
          error: toUploadError(
            new ServiceUnavailableError(error.message, { cause: error }),
            upload,
            each,
          ),
        })
      return {
        ...(await recordOutcome({ ...attempted, failures, record, told })),
        isServiceUnavailable: true,
      }
    }
  }
  return recordOutcome({ ...attempted, failures, record, told })
}

async function findRecord(delayed: DelayedContext, upload: UploadRow): Promise<unknown> {
  const { type, id } = upload.lane
  try {
    const record = await delayed.findRecord(type, id)
    if (record != null) return record
    return new RecordNotFoundError(
      `There is no ${type} with id ${id} (findRecord, or the ORM's class, found none). Its bytes are kept: retry the upload when the record is there, or discard it.`,
      { details: uploadErrorDetails(upload) },
    )
  } catch (error) {
    return new RecordNotFoundError(
      `findRecord of ${type} threw for id ${id}: ${messageOf(error)}`,
      {
        details: uploadErrorDetails(upload),
        cause: error,
      },
    )
  }
}

function toUploadError(error: unknown, upload: UploadRow, file: FileRow): ActiveStorageError {
  const details = uploadErrorDetails(upload, file.filename)
  if (!(error instanceof ActiveStorageError))
    return new ServiceError(messageOf(error), { cause: error, details })
  return Object.assign(error, {
    message: appendDetails(error.message, details),
    details: { ...error.details, ...details },
  })
}
