import { isUploadFinished, type FollowedUpload } from './followed-upload.ts'

/** Options of `followUpload`. */
export interface FollowOptions {
  readonly signal?: AbortSignal
  /** Called when the upload does not exist, or finished long ago. */
  readonly onGone?: () => void
}

/** Milliseconds. Browsers reconnect when a connection ends, but not after an error response. */
const RECONNECT_DELAY_MS = { first: 1_000, last: 30_000 }

/**
 * Calls `onChange` with the whole upload at once and after each change, until the upload is
 * finished. `path` is `upload.path()`. It reconnects after lost connections. Returns a function
 * that stops it.
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
    // EventSource does not report the status of the response.
    const status = await fetch(path, {
      headers: { Accept: 'application/json' },
      ...(options.signal && { signal: options.signal }),
    }).then(
      (response) => response.status,
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
