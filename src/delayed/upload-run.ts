import { trace } from '../diagnostics/tracing.ts'
import { ActiveStorageError, ServiceError, ServiceUnavailableError } from '../errors/errors.ts'
import { appendDetails, messageOf } from '../errors/message.ts'
import type { Lease, Leases } from '../jobs/leases.ts'
import { findFilesOfUploads, type FileRow } from '../staging/file-rows.ts'
import { attachFile, type AttachOutcome } from './attach-file.ts'
import { uploadErrorDetails, type DelayedContext } from './context.ts'
import { runFileHook, runHooks } from './hooks.ts'
import { LeaseLostError } from './lease-lost.ts'
import { prepareFile } from './prepare-file.ts'
import { recordFailures, reportFailures } from './record-failures.ts'
import type { FileFailure } from './retry-schedule.ts'
import { storeFile } from './store-file.ts'
import {
  findTarget,
  type MissingTarget,
  type UploadAttempt,
  type UploadTarget,
} from './upload-attempt.ts'
import type { UploadResult } from './upload-outcome.ts'
import { findUpload, type UploadRow } from './upload-rows.ts'
import { failUpload, releaseUpload } from './upload-transitions.ts'
import { wakeLane } from './wake-lane.ts'

/** Input of one run of an upload. */
export interface UploadRunOptions {
  readonly context: DelayedContext
  readonly leases: Leases
  /** As it was claimed. */
  readonly upload: UploadRow
  /** Aborts when the worker stops. */
  readonly stopping: AbortSignal
}

/**
 * One run of a claimed upload. It holds the upload's lease until it ends, and uploads each staged
 * file: prepare, store, attach, run the hook. Then it records the outcome.
 */
export class UploadRun {
  readonly #context: DelayedContext
  readonly #upload: UploadRow
  readonly #stopping: AbortSignal
  readonly #lease: Lease
  /** Aborts when the lease is lost or the worker stops. */
  readonly #signal: AbortSignal
  /** Ids of files that this run has attached. Their hooks have run, or have thrown. */
  readonly #attachedIds: string[] = []
  #isLaneAwake = false

  /** Begins to renew the lease; `run` stops it. */
  constructor({ context, leases, upload, stopping }: UploadRunOptions) {
    this.#context = context
    this.#upload = upload
    this.#stopping = stopping
    this.#lease = leases.hold(upload.leaseToken ?? '')
    this.#signal = AbortSignal.any([this.#lease.signal, stopping])
  }

  /**
   * Runs the upload, once. A file that fails does not stop the others. If the worker stops, the
   * upload is released and no attempt is counted. Throws an error of the database.
   */
  async run(): Promise<UploadResult> {
    const { token, attempts } = this.#upload
    const message = { ...uploadErrorDetails(this.#upload), upload: token, attempt: attempts }
    try {
      return await trace('delayed_upload', message, () => this.#uploadFiles())
    } catch (error) {
      if (error instanceof LeaseLostError || this.#lease.signal.aborted) {
        // The one that superseded it has reported so. Here it is only known that the lease is lost.
        this.#log('info', 'An upload was superseded, discarded or taken over while it ran.')
        return { outcome: 'superseded' }
      }
      if (!this.#stopping.aborted) throw error
      await releaseUpload(this.#context.store.session, this.#upload)
      return { outcome: 'released' }
    } finally {
      this.#lease.stopRenewing()
      await this.#wakeLane().catch((error: unknown) =>
        this.#log(
          'warn',
          'The next upload of the lane could not be woken; it starts within half a minute.',
          error,
        ),
      )
    }
  }

  async #uploadFiles(): Promise<UploadResult> {
    const rows = await findFilesOfUploads(this.#context.store.session, [this.#upload.token])
    const files = rows.filter((file) => file.state === 'staged')
    const target = await findTarget(this.#context, this.#upload)
    if ('error' in target) {
      const { error } = target
      return this.#recordOutcome(
        target,
        files.map((file) => ({ file, error })),
      )
    }
    const attempt = {
      ...target,
      context: this.#context,
      upload: this.#upload,
      signal: this.#signal,
    }
    const failures: FileFailure[] = []
    for (const [index, file] of files.entries()) {
      this.#signal.throwIfAborted()
      try {
        const outcome = await this.#uploadFile(attempt, file)
        if (outcome === 'superseded') return { outcome: 'superseded' }
        if (outcome === 'finished') return { outcome: 'uploaded' }
        this.#attachedIds.push(file.id)
      } catch (error) {
        if (error instanceof LeaseLostError || this.#signal.aborted) throw error
        const isUnavailable = error instanceof ServiceUnavailableError
        // The other files would only wait for the same service.
        const failed = isUnavailable ? files.slice(index) : [file]
        for (const each of failed)
          failures.push({ file: each, error: toUploadError(error, this.#upload, each) })
        if (isUnavailable) break
      }
    }
    return this.#recordOutcome(target, failures)
  }

  async #uploadFile(attempt: UploadAttempt, file: FileRow): Promise<AttachOutcome> {
    const prepared = await prepareFile(attempt, file)
    try {
      await storeFile(attempt, prepared)
    } finally {
      await prepared.dispose()
    }
    const outcome = await attachFile(attempt, prepared)
    if (outcome === 'superseded') return outcome
    // The file is attached: an error from here on does not fail the upload.
    try {
      // Before the hook and the deletion of chunks, which may be slow.
      if (outcome !== 'incomplete') await this.#wakeLane()
      await runFileHook(attempt, file)
    } catch (error) {
      this.#log(
        'warn',
        `${file.filename} is attached, but its hook could not be run; it runs later.`,
        error,
        file,
      )
    }
    return outcome
  }

  /** Writes how the attempt ended, then runs the hooks that belong to the outcome. */
  async #recordOutcome(
    target: UploadTarget | MissingTarget,
    failures: readonly FileFailure[],
  ): Promise<UploadResult> {
    const { session } = this.#context.store
    if (failures.length > 0) {
      const recorded = await recordFailures(this.#context, this.#upload, failures)
      // Before the hooks, which may be slow.
      await this.#wakeLane()
      await reportFailures(this.#context, this.#upload, target, recorded)
      return recorded.result
    }
    const current = await findUpload(session, this.#upload.token)
    if (current === null || current.leaseToken !== this.#upload.leaseToken)
      throw new LeaseLostError()
    if (current.state !== 'running') {
      await runHooks(this.#context, current, target, this.#attachedIds)
      return { outcome: 'uploaded' }
    }
    // The other files failed for good in an earlier attempt, and wait for a retry by hand.
    await failUpload(session, this.#upload, null)
    await this.#wakeLane()
    await runHooks(this.#context, { ...current, state: 'failed' }, target, this.#attachedIds)
    return { outcome: 'failed', error: undefined }
  }

  /** Wakes the next upload of the lane, once. */
  async #wakeLane(): Promise<void> {
    if (this.#isLaneAwake) return
    await wakeLane(this.#context.store.session, this.#upload.lane)
    this.#isLaneAwake = true
  }

  #log(level: 'info' | 'warn', message: string, error?: unknown, file?: FileRow): void {
    this.#context.log(level, message, {
      ...uploadErrorDetails(this.#upload, file?.filename),
      upload: this.#upload.token,
      ...(error === undefined ? {} : { error }),
    })
  }
}

function toUploadError(error: unknown, upload: UploadRow, file: FileRow): ActiveStorageError {
  const details = uploadErrorDetails(upload, file.filename)
  // Each file needs an error of its own, because its details name the file.
  if (error instanceof ServiceUnavailableError)
    return new ServiceUnavailableError(error.message, { cause: error, details })
  if (!(error instanceof ActiveStorageError))
    return new ServiceError(messageOf(error), { cause: error, details })
  return Object.assign(error, {
    message: appendDetails(error.message, details),
    details: { ...error.details, ...details },
  })
}
