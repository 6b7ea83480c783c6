import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import type { Lane } from '../attachments/lane.ts'
import { ActiveStorageError, AttachPendingError, ServiceError } from '../errors.ts'
import { endsWithin, GRACE } from '../jobs/deadline.ts'
import { messageOf } from '../message.ts'
import { fileText } from '../public-message.ts'
import { filesOf, isAttached } from '../staging/file-rows.ts'
import { turns, type Turns } from '../turns.ts'
import type { Delayed, Report } from './definition.ts'
import type { WaitingOptions } from './direct-options.ts'
import type { RunResult } from './settle.ts'
import { olderOf, standingOf } from './standing.ts'

/** An upload, and what it belongs to. */
export interface Submitted {
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
  finish(uploads: readonly Submitted[], timeout?: number): Promise<void>
  /** The same after a save; rejects only where `onFailure` is 'throw'. */
  finishSaved(uploads: readonly Submitted[]): Promise<void>
  /** Begins nothing more; after so many milliseconds what still runs is given back. */
  stop(milliseconds: number): Promise<void>
}

export interface DirectParts {
  ready(): Promise<Delayed>
  /** Carries the upload if it can be claimed. null: it can not, now. */
  take(token: string, stopping: AbortSignal): Promise<RunResult | null>
  /** Calls `look` whenever an upload of this process has ended. */
  readonly looks: Set<() => void>
  readonly waiting: WaitingOptions
  readonly report: Report
}

/** How an upload ended, as far as this process knows. */
interface End {
  readonly isAttached: boolean
  readonly error?: ActiveStorageError
  /** It is tried no more, until a person says so. */
  readonly isFinal?: boolean
}
const isOpen = ({ isAttached, error, isFinal }: End): boolean =>
  !isAttached && error === undefined && isFinal !== true
const ATTACHED: End = { isAttached: true }
const PENDING: End = { isAttached: false }

/** At once, of one service: a service that hangs must not hold the uploads to the others. */
const PLACES = 8
/** Milliseconds between two looks at an upload that another process has. */
const SOONEST = 20
const LATEST = 500

interface Followed {
  /** By `performance.now()`. */
  until: number
  readonly end: Promise<End>
}

export function directUploads(options: DirectParts): DirectUploads {
  const followed = new Map<string, Followed>()
  const running = new Set<Promise<unknown>>()
  const places = new Map<string, Turns>()
  const stopping = new AbortController()
  let closed = false
  // A transaction's own context must not follow the upload: it is over.
  const outside = AsyncLocalStorage.snapshot()

  const carry = async (token: string, service: string): Promise<RunResult | null> => {
    const place = places.get(service) ?? turns(PLACES)
    places.set(service, place)
    await place.take()
    try {
      if (closed) return null
      const run = options.take(token, stopping.signal)
      running.add(run)
      return await run.finally(() => running.delete(run))
    } finally {
      place.give()
    }
  }

  const pause = (milliseconds: number): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        clearTimeout(timer)
        options.looks.delete(look)
        resolve()
      }
      const timer = setTimeout(look, milliseconds).unref()
      options.looks.add(look)
    })

  /** null: it neither is attached nor has failed. */
  const attempt = async (token: string): Promise<End | null> => {
    const { store, definition } = await options.ready()
    for (;;) {
      const found = await standingOf(store.session, token)
      if (found === null || found.standing === 'attached') return ATTACHED
      const { upload, standing } = found
      if (standing === 'failing')
        return { ...failureOf(upload.lastError), isFinal: upload.state === 'failed' }
      if (upload.state === 'running') return null
      // What is before it in its lane may have no other to carry it.
      const next = standing === 'due' ? token : await olderOf(store.session, upload)
      const service = definition(upload.lane.type, upload.lane.name)?.service ?? ''
      const result = next === null ? null : await carry(next, service)
      if (result === null) return null
      if (next === token && result.outcome === 'uploaded') return ATTACHED
      if (next === token && result.error !== undefined)
        return { isAttached: false, error: result.error, isFinal: result.outcome === 'failed' }
    }
  }

  const follow = async (token: string, mayWait: () => boolean): Promise<End> => {
    for (let wait = SOONEST; ; wait = Math.min(wait * 1.5, LATEST)) {
      const end = await attempt(token).catch((error: unknown) => {
        if (closed || !mayWait()) throw error
        return null
      })
      if (end !== null) return end
      if (closed || !mayWait()) return PENDING
      await pause(wait)
    }
  }

  const begin = (token: string, patience: number): Promise<End> => {
    const until = performance.now() + patience
    const known = followed.get(token)
    if (known !== undefined) {
      known.until = Math.max(known.until, until)
      return known.end
    }
    const end = outside(() => follow(token, () => performance.now() < each.until)).finally(() =>
      followed.delete(token),
    )
    const each: Followed = { until, end }
    followed.set(token, each)
    return end
  }

  const finishOne = async ({ token, lane }: Submitted, timeout: number): Promise<void> => {
    const deadline = performance.now() + timeout
    const over = new AbortController()
    let end: End = PENDING
    try {
      const late = delay(timeout, PENDING, { signal: over.signal })
      while (isOpen(end) && !closed && performance.now() < deadline)
        end = await Promise.race([begin(token, deadline - performance.now()), late])
      if (isOpen(end)) end = await lastLook(token)
    } catch (error) {
      end = {
        isAttached: false,
        error: new ServiceError('It is not known how the upload went.', { cause: error }),
      }
    } finally {
      over.abort()
    }
    if (!end.isAttached) throw pendingError(lane, await filename(token).catch(() => undefined), end)
  }

  /** Its hooks may take longer than it did. */
  const lastLook = async (token: string): Promise<End> => {
    const found = await standingOf((await options.ready()).store.session, token)
    return found === null || found.standing === 'attached' ? ATTACHED : PENDING
  }

  const filename = async (token: string): Promise<string | undefined> => {
    const files = await filesOf((await options.ready()).store.session, [token])
    return files.find((file) => !isAttached(file))?.filename
  }

  const finish: DirectUploads['finish'] = async (uploads, timeout = options.waiting.timeout) => {
    const ends = await Promise.allSettled(uploads.map((each) => finishOne(each, timeout)))
    const failed = ends.find((each) => each.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  return {
    start(token) {
      if (closed) return
      begin(token, options.waiting.timeout).catch((error: unknown) =>
        options.report('warn', 'An upload could not be begun here; a worker carries it.', {
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
        if (options.waiting.onFailure === 'throw') throw error
        options.report('warn', messageOf(error), { error })
      }
    },
    async stop(milliseconds) {
      closed = true
      for (const look of options.looks) look()
      const ended = Promise.allSettled(running)
      const timer = setTimeout(
        () => stopping.abort(new Error('The storage is closing.')),
        milliseconds,
      )
      await endsWithin(ended, milliseconds + GRACE)
      clearTimeout(timer)
    },
  }
}

const failureOf = (lastError: string | null): End => ({
  isAttached: false,
  ...(lastError === null ? {} : { error: new ServiceError(lastError) }),
})

function pendingError(
  { type, id, name }: Lane,
  filename: string | undefined,
  { error, isFinal }: End,
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
      publicMessage: `What you entered is saved, but ${fileText(details)} could not be stored. Open it and choose the file again.`,
    },
  )
}
