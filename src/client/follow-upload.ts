import { isUploadFinished, type FollowedUpload } from './followed-upload.ts'

/** Of `followUpload`. */
export interface FollowOptions {
  readonly signal?: AbortSignal
  /** There is no such upload, or it was done long ago. */
  readonly onGone?: () => void
}

/** Milliseconds. A browser tries again by itself where a connection ends, and gives up where an answer is an error. */
const RECONNECT_DELAY_MS = { first: 1_000, last: 30_000 }

/**
 * Calls `onChange` with the whole upload, at once and whenever something of it changes, until it is over. `path` is
 * `upload.path()`. Survives lost connections. Returns how to stop.
 *
 * @example
 * import { followUpload } from 'activestorage-delayed/client'
 *
 * const stop = followUpload(path, ({ state, files }) => console.log(state, files[0]?.uploadedBytes))
 */
export function followUpload(
  path: string,
  onChange: (upload: FollowedUpload) => void,
  options: FollowOptions = {},
): () => void {
  let source: EventSource | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  let wait = RECONNECT_DELAY_MS.first
  let isStopped = false
  const stop = (): void => {
    isStopped = true
    clearTimeout(timer)
    source?.close()
    options.signal?.removeEventListener('abort', stop)
  }
  const again = async (): Promise<void> => {
    source?.close()
    // The browser does not tell what it was answered.
    const status = await fetch(path, {
      headers: { Accept: 'application/json' },
      ...(options.signal && { signal: options.signal }),
    }).then(
      (answer) => answer.status,
      () => 0,
    )
    if (isStopped) return
    if ([403, 404, 410].includes(status)) {
      stop()
      options.onGone?.()
      return
    }
    timer = setTimeout(open, wait)
    wait = Math.min(wait * 2, RECONNECT_DELAY_MS.last)
  }
  const open = (): void => {
    source = new EventSource(path)
    source.addEventListener('message', ({ data }) => {
      wait = RECONNECT_DELAY_MS.first
      const upload = JSON.parse(String(data)) as FollowedUpload
      if (isUploadFinished(upload)) stop()
      onChange(upload)
    })
    source.addEventListener('error', () => {
      if (!isStopped && source?.readyState === EventSource.CLOSED) void again()
    })
  }
  if (options.signal?.aborted === true) return stop
  options.signal?.addEventListener('abort', stop, { once: true })
  open()
  return stop
}
