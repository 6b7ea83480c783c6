/** What a service checks before it publishes an object, and writes beside it. */
export interface UploadOptions {
  /** Exact number of bytes. */
  readonly byteSize: number
  /** Base64 MD5 of the bytes. */
  readonly checksum: string
  readonly contentType?: string
  /** Whole Content-Disposition header to be served with the object, where the service keeps one. */
  readonly disposition?: string
  readonly signal?: AbortSignal
  /** For services that take the bytes faster than they send them; a service need not call it. */
  readonly progress?: UploadProgress
}

/** By which an upload that is under way is told from one that hangs. Taking the next bytes counts as well. */
export interface UploadProgress {
  /** So many bytes left since it was told last. */
  sent(bytes: number): void
  /** Waits for what puts the bytes together after all were sent, which may last as long as a copy. */
  finishing<T>(running: Promise<T>): Promise<T>
}

/** Of an expiring URL. */
export interface ServiceUrlOptions {
  /** Seconds. */
  readonly expiresIn: number
  /** Whole Content-Disposition header of the answer. */
  readonly disposition: string
  readonly contentType: string
}

/** Of a browser's own upload; all of it is signed. */
export interface DirectUploadOptions {
  /** Seconds. */
  readonly expiresIn: number
  readonly byteSize: number
  readonly checksum: string
  readonly contentType: string
  /** Whole Content-Disposition header to be stored with the object. */
  readonly disposition?: string
}

interface Abortable {
  readonly signal?: AbortSignal
}

/**
 * Where objects live: Rails' `ActiveStorage::Service`. Keys may hold `/`, never `..`; an object appears only whole and
 * verified. Failures are `ServiceError` (retryable unless they can never succeed), `ServiceUnavailableError` where the
 * service as a whole is away; a missing object is `FileNotFoundError`, bytes that do not match are `IntegrityError`. A call
 * whose signal aborts publishes nothing from then on, as far as the service can help it.
 */
export interface Service {
  /** Stores the bytes and publishes them under `key` only after size and MD5 were verified; replaces what was there. */
  upload(key: string, body: AsyncIterable<Uint8Array>, options: UploadOptions): Promise<void>
  /**
   * The bytes, or the inclusive byte range `[start, end]` of them. Throws FileNotFoundError before the first byte, and
   * InvalidInputError for a range that is none.
   */
  download(
    key: string,
    options?: Abortable & { readonly range?: readonly [start: number, end: number] },
  ): Promise<AsyncIterable<Uint8Array>>
  /** Removes the object; one that is not there is no error. */
  delete(key: string, options?: Abortable): Promise<void>
  /** Removes every object whose key starts with `prefix` (variants). An empty prefix is refused. */
  deletePrefixed(prefix: string, options?: Abortable): Promise<void>
  /** Whether there is an object. */
  exists(key: string, options?: Abortable): Promise<boolean>
  /** Joins objects, in order, into a new one. */
  compose(
    sources: readonly string[],
    key: string,
    options?: Abortable & { readonly contentType?: string },
  ): Promise<void>
  /** Copies an object within the service. */
  copy(source: string, key: string, options?: Abortable): Promise<void>
  /** true: its URLs do not expire, for whoever has one may see the file. */
  readonly public?: boolean
  /** An expiring URL of the service's own; null where the service has none (then the app serves the bytes itself). */
  url(key: string, options: ServiceUrlOptions): Promise<string | null>
  /** Where and with which headers a browser may PUT the bytes itself; null where the service cannot. */
  urlForDirectUpload(
    key: string,
    options: DirectUploadOptions,
  ): Promise<{ readonly url: string; readonly headers: Readonly<Record<string, string>> } | null>
}
