/** Options of a call that can be given up. */
export interface Abortable {
  /** Gives the call up: it rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

/**
 * Options of `Service.upload`: the size and digest to verify, and the headers to store with the
 * object.
 */
export interface UploadOptions extends Abortable {
  /** Exact number of bytes. */
  readonly byteSize: number
  /** Base64 MD5 of the bytes. */
  readonly checksum: string
  /** Content-Type to serve the object with. */
  readonly contentType?: string
  /**
   * Whole Content-Disposition header to serve the object with. A service that stores no headers
   * ignores it.
   */
  readonly disposition?: string
  /** Reports progress. Only a service that takes the bytes faster than it sends them needs it. */
  readonly progress?: UploadProgress
}

/**
 * Shows that a running upload does not hang. Taking the next bytes of `body` counts as progress
 * too.
 */
export interface UploadProgress {
  /** Reports how many bytes were sent since the last call. */
  sent(bytes: number): void
  /**
   * Wraps the last step, such as joining the parts: it may last as long as a copy. Settles as
   * `running` does.
   */
  finish<T>(running: Promise<T>): Promise<T>
}

/** Options of `Service.download`. */
export interface DownloadOptions extends Abortable {
  /** Bytes to read, both inclusive. Default: the whole object. */
  readonly range?: readonly [start: number, end: number]
}

/** Options of `Service.url`. */
export interface ServiceUrlOptions extends Abortable {
  /** Seconds until the URL expires. */
  readonly expiresIn: number
  /** Whole Content-Disposition header of the response. */
  readonly disposition: string
  /** Content-Type of the response. */
  readonly contentType: string
}

/**
 * Options of `Service.urlForDirectUpload`. The store must refuse a PUT whose size, MD5, type or
 * disposition is another one. The library does not check them afterwards: when the blob is
 * attached, it only checks that the object exists, and reads the type from its first bytes.
 */
export interface DirectUploadOptions extends Abortable {
  /** Seconds until the URL expires. */
  readonly expiresIn: number
  /** Exact number of bytes. */
  readonly byteSize: number
  /** Base64 MD5 of the bytes. */
  readonly checksum: string
  /** Content-Type to store with the object. */
  readonly contentType: string
  /** Whole Content-Disposition header to store with the object. */
  readonly disposition?: string
}

/**
 * Stores the bytes of files under keys: Rails' `ActiveStorage::Service`. To write one for another
 * store, implement the required members and run `serviceContract` (`activestorage-delayed/testing`)
 * on it.
 *
 * - Keys have 1 to 255 bytes and may hold `/`, but no NUL, no backslash, and no empty, `.` or `..`
 *   segment. Other keys, and keys of spaces only, are InvalidInputError.
 * - Readers see an object only as a whole, after its size and MD5 were verified.
 * - Calls may run at the same time.
 * - Every call gets a signal. When it aborts, the call rejects soon, also one that signs a URL and
 *   waits for credentials; it publishes nothing afterwards, if the store allows it.
 * - Throw ServiceUnavailableError when the whole store cannot be reached, and ServiceError for
 *   other failures. Both are retried, unless the error says `retryable: false`.
 */
export interface Service {
  /**
   * Stores the bytes under `key` and replaces an object that was there. A call is one attempt, and
   * `body` begins with the first byte. Throws IntegrityError, and keeps the old object, when the
   * bytes do not have the promised size and MD5. An error of `body` itself is thrown as it is.
   */
  upload(key: string, body: AsyncIterable<Uint8Array>, options: UploadOptions): Promise<void>
  /**
   * Reads the object, or a range of its bytes. Throws FileNotFoundError before the first byte where
   * there is no object, and InvalidInputError for an invalid range, and for one that begins after
   * the last byte. A range may end after it.
   */
  download(key: string, options?: DownloadOptions): Promise<AsyncIterable<Uint8Array>>
  /** Deletes the object. A missing object is no error. */
  delete(key: string, options?: Abortable): Promise<void>
  /** Returns true when there is an object under the key. */
  exists(key: string, options?: Abortable): Promise<boolean>
  /** true: its URLs never expire, so everyone who has one can read the file. Default false. */
  readonly public?: boolean
  /**
   * Signs a URL that expires. Returns null where the service has no URLs: the app then serves the
   * bytes itself.
   */
  url(key: string, options: ServiceUrlOptions): Promise<string | null>
  /**
   * Signs a URL to which a browser may PUT the bytes, and returns it with the headers that the
   * browser must send. Returns null where the service cannot: the app then takes the bytes itself.
   */
  urlForDirectUpload(
    key: string,
    options: DirectUploadOptions,
  ): Promise<{ readonly url: string; readonly headers: Readonly<Record<string, string>> } | null>
  /**
   * Deletes each object whose key starts with `prefix`. Throws InvalidInputError for an empty
   * prefix. Optional, not used yet.
   */
  deletePrefixed?(prefix: string, options?: Abortable): Promise<void>
  /** Joins objects, in order, into a new one. Optional, not used yet. */
  compose?(
    sources: readonly string[],
    key: string,
    options?: Abortable & { readonly contentType?: string },
  ): Promise<void>
  /**
   * Copies an object within the service. Throws FileNotFoundError for a missing source. Optional,
   * not used yet.
   */
  copy?(source: string, key: string, options?: Abortable): Promise<void>
}
