/** Options of `stageFile` and `directUpload`. */
export interface TransferOptions {
  /** Called with the bytes that were sent, and the bytes of the whole file. */
  readonly onProgress?: (sent: number, total: number) => void
  readonly signal?: AbortSignal
  /** Additional headers of requests to the app, such as a CSRF token under another name. */
  readonly headers?: Readonly<Record<string, string>>
}

/** The server refused a file, or could not be reached. `message` is text for the visitor. */
export class UploadError extends Error {
  /**
   * Code of the server, such as 'FILE_TOO_LARGE'; else 'NETWORK', 'ABORTED', 'UNREADABLE' or
   * 'HTTP'.
   */
  readonly code: string
  /** Status of the response; 0 without a response. */
  readonly status: number
  /** @internal */
  constructor(message: string, code: string, status: number) {
    super(message)
    this.name = 'UploadError'
    this.code = code
    this.status = status
  }
}

/** Reads the CSRF token from the page's meta tag, as Rails' pages have it. */
export function csrfHeaders(): Record<string, string> {
  const token = document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content
  return token === undefined || token === '' ? {} : { 'X-CSRF-Token': token }
}

/** A request with a body whose progress is reported. */
export interface TransferRequest extends Pick<TransferOptions, 'onProgress' | 'signal'> {
  readonly method: 'POST' | 'PUT' | 'DELETE'
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Blob | string | null
  /** Filename for errors. */
  readonly filename: string
}

/**
 * Sends a request, and resolves with the response's text. It uses XMLHttpRequest, because fetch
 * reports no progress of uploads.
 */
export function sendRequest({
  method,
  url,
  headers,
  body,
  filename,
  onProgress,
  signal,
}: TransferRequest): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    const fail = (code: string, why: string, status = 0): void => {
      // The server's text often has the filename already.
      reject(new UploadError(why.includes(filename) ? why : `${filename}: ${why}`, code, status))
    }
    const aborted = (): void => fail('ABORTED', 'the upload was canceled.')
    if (signal?.aborted === true) {
      aborted()
      return
    }
    const abort = (): void => request.abort()
    signal?.addEventListener('abort', abort, { once: true })
    request.open(method, url)
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value)
    if (onProgress !== undefined)
      request.upload.addEventListener('progress', ({ loaded, total }) => onProgress(loaded, total))
    request.addEventListener('loadend', () => signal?.removeEventListener('abort', abort))
    request.addEventListener('abort', aborted)
    request.addEventListener('error', () =>
      fail('NETWORK', 'the server could not be reached. Try again.'),
    )
    request.addEventListener('load', () => {
      const { status, responseText } = request
      if (status >= 200 && status < 300) {
        resolve(responseText)
        return
      }
      const { error, code } = readServerError(responseText)
      fail(code ?? 'HTTP', error ?? describeStatus(status), status)
    })
    request.send(body)
  })
}

/** Returns the text for a response without an error of the app, such as one of a proxy. */
function describeStatus(status: number): string {
  if (status === 404 || status === 410)
    return 'this page is too old. Reload it and choose the file again.'
  if (status === 413) return 'the file is too large. Choose a smaller one.'
  return `the server did not accept the file (${status}). Try again later.`
}

/** Reads the app's error from a response. {} for text of a proxy, which is not JSON. */
function readServerError(text: string): { readonly error?: string; readonly code?: string } {
  try {
    const { error, code } = JSON.parse(text) as { error?: unknown; code?: unknown }
    return {
      ...(typeof error === 'string' ? { error } : {}),
      ...(typeof code === 'string' ? { code } : {}),
    }
  } catch {
    return {}
  }
}
