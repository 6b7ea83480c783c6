/** Of whatever sends a file. */
export interface TransferOptions {
  /** Called as bytes leave. */
  readonly onProgress?: (sent: number, total: number) => void
  readonly signal?: AbortSignal
  /** Added to the requests to the app, such as a CSRF token under another name. */
  readonly headers?: Readonly<Record<string, string>>
}

/** A file was not taken: by the server's word, or because it could not be reached. `message` may be shown to the visitor. */
export class UploadError extends Error {
  /** The server's, such as 'FILE_TOO_LARGE'; else 'NETWORK', 'ABORTED' or 'HTTP'. */
  readonly code: string
  /** Of the answer; 0: there was none. */
  readonly status: number
  /** @internal */
  constructor(message: string, code: string, status: number) {
    super(message)
    this.name = 'UploadError'
    this.code = code
    this.status = status
  }
}

/** What Rails' pages, and many others, keep in a meta tag. */
export function csrfHeaders(): Record<string, string> {
  const token = document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content
  return token === undefined || token === '' ? {} : { 'X-CSRF-Token': token }
}

export interface TransferRequest extends Pick<TransferOptions, 'onProgress' | 'signal'> {
  readonly method: 'POST' | 'PUT' | 'DELETE'
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Blob | string | null
  /** For errors. */
  readonly filename: string
}

/** Sends, and resolves with the answer's text. By XMLHttpRequest, for fetch tells nothing of what it has sent. */
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
      // The server names the file where it can.
      reject(new UploadError(why.includes(filename) ? why : `${filename}: ${why}`, code, status))
    }
    const aborted = (): void => fail('ABORTED', 'it was given up.')
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

/** Of an answer without a word: a proxy's, or of a path that is too old. */
function describeStatus(status: number): string {
  if (status === 404 || status === 410)
    return 'this page is too old. Reload it and choose the file again.'
  if (status === 413) return 'it is too large. Choose a smaller one.'
  return `the server did not take it (${status}). Try again later.`
}

/** What the app says of an error; a proxy before it says something else. */
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
