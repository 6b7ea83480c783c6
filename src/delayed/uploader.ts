import {
  ActiveStorageError,
  RecordNotFoundError,
  ServiceError,
  ServiceUnavailableError,
  UnknownAttachmentError,
} from '../errors.ts'
import { withDetails, messageOf } from '../message.ts'
import { traced } from '../diagnostics.ts'
import type { Leases } from '../jobs/leases.ts'
import { filesOf, type FileRow } from '../staging/file-rows.ts'
import { carry } from './carry.ts'
import { detailsOf, type Delayed } from './definition.ts'
import { passHooks, tellHooks } from './hooks.ts'
import { LeaseLost } from './lease-lost.ts'
import type { Failure } from './retry.ts'
import { giveBack, settle, type RunResult } from './settle.ts'
import { wakeLane, type UploadRow } from './upload-rows.ts'

/**
 * Carries the files of one claimed upload to their service and attaches each. A file that fails does not stop the
 * others. `stopping` gives the upload back, with its attempt.
 */
export async function runUpload(
  delayed: Delayed,
  leases: Leases,
  upload: UploadRow,
  stopping: AbortSignal,
): Promise<RunResult> {
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
    return await traced(
      'delayed_upload',
      {
        record: { type: lane.type, id: lane.id },
        attachment: lane.name,
        upload: token,
        attempt: attempts,
      },
      () => attempt(delayed, upload, wake, signal),
    )
  } catch (error) {
    if (error instanceof LeaseLost || lease.signal.aborted) {
      // Who superseded it told so; here it is only known that it is no longer ours.
      delayed.report('info', 'An upload was superseded, discarded or taken over while it ran.', {
        ...detailsOf(upload),
        upload: token,
      })
      return { outcome: 'superseded' }
    }
    if (stopping.aborted) {
      await giveBack(delayed, upload)
      return { outcome: 'given-back' }
    }
    throw error
  } finally {
    lease.release()
    await wake().catch((error: unknown) =>
      delayed.report(
        'warn',
        'The next upload of its lane could not be woken; it begins within half a minute.',
        {
          ...detailsOf(upload),
          error,
        },
      ),
    )
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

async function attempt(
  delayed: Delayed,
  upload: UploadRow,
  wake: () => Promise<void>,
  signal: AbortSignal,
): Promise<RunResult> {
  const definition = delayed.definition(upload.lane.type, upload.lane.name)
  const files = (await filesOf(delayed.store.session, [upload.token])).filter(
    (file) => file.state === 'staged',
  )
  const record =
    definition === undefined
      ? new UnknownAttachmentError(`${upload.lane.type}.${upload.lane.name} is not defined here.`, {
          details: detailsOf(upload),
        })
      : await findRecord(delayed, upload)
  const attempted = { delayed, upload, definition, wake }
  if (definition === undefined || record instanceof ActiveStorageError) {
    const failures = files.map((file) => ({ file, error: record as ActiveStorageError }))
    return settle({ ...attempted, failures, record: null, told: [] })
  }
  const failures: Failure[] = []
  const told: string[] = []
  for (const file of files) {
    signal.throwIfAborted()
    try {
      const carried = await carry({ delayed, definition, upload, record, wake, signal }, file)
      if (carried === 'overtaken') return { outcome: 'superseded' }
      if (carried === 'gone') return { outcome: 'uploaded' }
      told.push(file.id)
    } catch (error) {
      if (error instanceof LeaseLost || signal.aborted) throw error
      if (!(error instanceof ServiceUnavailableError)) {
        failures.push({ file, error: toError(error, upload, file) })
        continue
      }
      // The others would only wait for it too.
      for (const each of files.slice(files.indexOf(file)))
        failures.push({
          file: each,
          error: toError(
            new ServiceUnavailableError(error.message, { cause: error }),
            upload,
            each,
          ),
        })
      return { ...(await settle({ ...attempted, failures, record, told })), isAway: true }
    }
  }
  return settle({ ...attempted, failures, record, told })
}

async function findRecord(delayed: Delayed, upload: UploadRow): Promise<unknown> {
  const { type, id } = upload.lane
  try {
    const record = await delayed.findRecord(type, id)
    if (record != null) return record
    return new RecordNotFoundError(
      `There is no ${type} with id ${id} (findRecord, or the ORM's class, found none). Its bytes are kept: retry the upload when the record is there, or discard it.`,
      { details: detailsOf(upload) },
    )
  } catch (error) {
    return new RecordNotFoundError(
      `findRecord of ${type} threw for id ${id}: ${messageOf(error)}`,
      {
        details: detailsOf(upload),
        cause: error,
      },
    )
  }
}

function toError(error: unknown, upload: UploadRow, file: FileRow): ActiveStorageError {
  const details = detailsOf(upload, file.filename)
  if (!(error instanceof ActiveStorageError))
    return new ServiceError(messageOf(error), { cause: error, details })
  return Object.assign(error, {
    message: withDetails(error.message, details),
    details: { ...error.details, ...details },
  })
}
