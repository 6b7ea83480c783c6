import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import type { Lane } from '../attachments/lane.ts'
import { ActiveStorageError, AttachPendingError, ServiceError } from '../errors/errors.ts'
import { endsWithin, STOP_GRACE_MS } from '../async/deadline.ts'
import { messageOf } from '../errors/message.ts'
import { formatFile } from '../errors/public-message.ts'
import { findFilesOfUploads, isAttached } from '../staging/file-rows.ts'
import { createSemaphore, type Semaphore } from '../async/semaphore.ts'
import type { Log } from '../diagnostics/log.ts'
import type { DelayedContext } from './context.ts'
import type { DirectWaitOptions } from './direct-options.ts'
import type { UploadResult } from './upload-outcome.ts'
import { findOlderDue, findUploadPhase } from './upload-phase.ts'

/** An upload, and what it belongs to. */
export interface SubmittedUpload {
  readonly token: string
  readonly lane: Lane
}

/**
 * Files that were attached directly inside a transaction: the process that committed it uploads them at once, as a worker would,
 * with lease and fence.
 */
export interface DirectUploads {
  /** Begins an upload whose transaction is committed. Never throws. */
  start(token: string): void
  /**
   * Resolves when all are attached, or replaced by something newer. An upload that a worker has already is waited for. Throws
   * AttachPendingError when one fails, or is not attached in so many milliseconds.
   */
  finish(uploads: readonly SubmittedUpload[], timeout?: number): Promise<void>
  /** The same after a save; rejects only where `onFailure` is 'throw'. */
  finishSaved(uploads: readonly SubmittedUpload[]): Promise<void>
  /** Begins nothing more; after so many milliseconds what still runs is given back. */
  stop(milliseconds: number): Promise<void>
}

export interface DirectUploadsOptions {
  ready(): Promise<DelayedContext>
  /** Carries the upload if it can be claimed. null: it can not, now. */
  runOne(token: string, stopping: AbortSignal): Promise<UploadResult | null>
  /** Calls `look` whenever an upload of this process has ended. */
  readonly endListeners: Set<() => void>
  readonly wait: DirectWaitOptions
  readonly log: Log
}

/** How an upload ended, as far as this process knows. */
interface DirectOutcome {
  readonly isAttached: boolean
  readonly error?: ActiveStorageError
  /** It is tried no more, until a person says so. */
  readonly isFinal?: boolean
}
const isUndecided = ({ isAttached, error, isFinal }: DirectOutcome): boolean =>
  !isAttached && error === undefined && isFinal !== true
const ATTACHED: DirectOutcome = { isAttached: true }
const PENDING: DirectOutcome = { isAttached: false }

/** At once, of one service: a service that hangs must not hold the uploads to the others. */
const PLACES = 8
/** Milliseconds between two looks at an upload that another process has. */
const MIN_POLL_MS = 20
const MAX_POLL_MS = 500

interface FollowedUpload {
  /** By `performance.now()`. */
  until: number
  readonly end: Promise<DirectOutcome>
}

export function directUploads(options: DirectUploadsOptions): DirectUploads {
  const followed = new Map<string, FollowedUpload>()
  const running = new Set<Promise<unknown>>()
  const places = new Map<string, Semaphore>()
  const stopping = new AbortController()
  let closed = false
  // A transaction's own context must not follow the upload: it is over.
  const outside = AsyncLocalStorage.snapshot()

  const carry = async (token: string, service: string): Promise<UploadResult | null> => {
    const place = places.get(service) ?? createSemaphore(PLACES)
    places.set(service, place)
    await place.acquire()
    try {
      if (closed) return null
      const run = options.runOne(token, stopping.signal)
      running.add(run)
      return await run.finally(() => running.delete(run))
    } finally {
      place.release()
    }
  }

  const pause = (milliseconds: number): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        clearTimeout(timer)
        options.endListeners.delete(look)
        resolve()
      }
      const timer = setTimeout(look, milliseconds).unref()
      options.endListeners.add(look)
    })

  /** null: it neither is attached nor has failed. */
  const attempt = async (token: string): Promise<DirectOutcome | null> => {
    const { store, findDefinition: definition } = await options.ready()
    for (;;) {
      const found = await findUploadPhase(store.session, token)
      if (found === null || found.phase === 'attached') return ATTACHED
      const { upload, phase } = found
      if (phase === 'failing')
        return { ...toFailedOutcome(upload.lastError), isFinal: upload.state === 'failed' }
      if (upload.state === 'running') return null
      // What is before it in its lane may have no other to carry it.
      const next = phase === 'due' ? token : await findOlderDue(store.session, upload)
      const service = definition(upload.lane.type, upload.lane.name)?.service ?? ''
      const result = next === null ? null : await carry(next, service)
      if (result === null) return null
      if (next === token && result.outcome === 'uploaded') return ATTACHED
      if (next === token && result.error !== undefined)
        return { isAttached: false, error: result.error, isFinal: result.outcome === 'failed' }
    }
  }

  const follow = async (token: string, mayWait: () => boolean): Promise<DirectOutcome> => {
    for (let wait = MIN_POLL_MS; ; wait = Math.min(wait * 1.5, MAX_POLL_MS)) {
      const end = await attempt(token).catch((error: unknown) => {
        if (closed || !mayWait()) throw error
        return null
      })
      if (end !== null) return end
      if (closed || !mayWait()) return PENDING
      await pause(wait)
    }
  }

  const begin = (token: string, patience: number): Promise<DirectOutcome> => {
    const until = performance.now() + patience
    const known = followed.get(token)
    if (known !== undefined) {
      known.until = Math.max(known.until, until)
      return known.end
    }
    const end = outside(() => follow(token, () => performance.now() < each.until)).finally(() =>
      followed.delete(token),
    )
    const each: FollowedUpload = { until, end }
    followed.set(token, each)
    return end
  }

  const finishOne = async ({ token, lane }: SubmittedUpload, timeout: number): Promise<void> => {
    const deadline = performance.now() + timeout
    const over = new AbortController()
    let end: DirectOutcome = PENDING
    try {
      const late = delay(timeout, PENDING, { signal: over.signal })
      while (isUndecided(end) && !closed && performance.now() < deadline)
        end = await Promise.race([begin(token, deadline - performance.now()), late])
      if (isUndecided(end)) end = await lastLook(token)
    } catch (error) {
      end = {
        isAttached: false,
        error: new ServiceError('It is not known how the upload went.', { cause: error }),
      }
    } finally {
      over.abort()
    }
    if (!end.isAttached)
      throw toPendingError(lane, await filename(token).catch(() => undefined), end)
  }

  /** Its hooks may take longer than it did. */
  const lastLook = async (token: string): Promise<DirectOutcome> => {
    const found = await findUploadPhase((await options.ready()).store.session, token)
    return found === null || found.phase === 'attached' ? ATTACHED : PENDING
  }

  const filename = async (token: string): Promise<string | undefined> => {
    const files = await findFilesOfUploads((await options.ready()).store.session, [token])
    return files.find((file) => !isAttached(file))?.filename
  }

  const finish: DirectUploads['finish'] = async (uploads, timeout = options.wait.timeout) => {
    const ends = await Promise.allSettled(uploads.map((each) => finishOne(each, timeout)))
    const failed = ends.find((each) => each.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  return {
    start(token) {
      if (closed) return
      begin(token, options.wait.timeout).catch((error: unknown) =>
        options.log('warn', 'An upload could not be begun here; a worker carries it.', {
          upload: token,
          error,
        }),
      )
    },
    finish,
    async finishSaved(uploads) {
      try {
        await finish(uploads)
      } catch (error) {
        if (options.wait.onFailure === 'throw') throw error
        options.log('warn', messageOf(error), { error })
      }
    },
    async stop(milliseconds) {
      closed = true
      for (const look of options.endListeners) look()
      const ended = Promise.allSettled(running)
      const timer = setTimeout(
        () => stopping.abort(new Error('The storage is closing.')),
        milliseconds,
      )
      await endsWithin(ended, milliseconds + STOP_GRACE_MS)
      clearTimeout(timer)
    },
  }
}

const toFailedOutcome = (lastError: string | null): DirectOutcome => ({
  isAttached: false,
  ...(lastError === null ? {} : { error: new ServiceError(lastError) }),
})

function toPendingError(
  { type, id, name }: Lane,
  filename: string | undefined,
  { error, isFinal }: DirectOutcome,
): AttachPendingError {
  const file = error?.details.filename ?? filename
  const details = {
    record: { type, id },
    attachment: name,
    ...(file === undefined ? {} : { filename: file }),
  }
  const what = file ?? `its ${name}`
  const cause = error === undefined ? {} : { cause: error }
  if (isFinal !== true)
    return new AttachPendingError(
      `${type} ${id} is saved, but ${what} is not attached yet: its upload goes on in the background. Do not save again.`,
      { ...cause, details },
    )
  return new AttachPendingError(
    `${type} ${id} is saved, but ${what} could not be attached: its upload failed and is kept. Retry or discard it; do not save again.`,
    {
      ...cause,
      details,
      publicMessage: `What you entered is saved, but ${formatFile(details)} could not be stored. Open it and choose the file again.`,
    },
  )
}
