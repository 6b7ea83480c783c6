import { TemporaryFolder } from '../blobs/temporary-folder.ts'
import type { Duration } from '../options/units.ts'
import type { PathOptions } from './paths.ts'
import type { PurgeOptions } from './remove.ts'

/** The model and the id of a record. */
export interface RecordRef {
  /** The model's name: the value of `record_type`. */
  readonly type: string
  /** The record's id as text, in its canonical form. */
  readonly id: string
}

/** Members that pending and stored files share. */
export interface FileInfo {
  /** Id of the attachment, the blob or the pending file. */
  readonly id: string
  /** The name that the visitor gave the file. */
  readonly filename: string
  readonly contentType: string
  /** Bytes. */
  readonly byteSize: number
  /** Base64 MD5. */
  readonly checksum: string
  /**
   * Returns the app's own permanent path to the file, below the mount point of `handler`.
   * Synchronous, for templates. The path of a pending file serves the staged bytes, and redirects
   * once they are attached.
   */
  path(options?: PathOptions): string
  /** Returns plain data for pages. */
  toJSON(): Record<string, unknown>
}

/** Options of a file's `stream`. */
export interface StreamOptions {
  /** Inclusive byte positions. */
  readonly range?: readonly [start: number, end: number]
  readonly signal?: AbortSignal
}

/** Options of a service's own URL. */
export interface UrlOptions {
  /** Default '5m'. URLs of public services do not expire. */
  readonly expiresIn?: Duration
  /**
   * Default 'inline'. Types that a browser must not show, such as HTML, SVG and text, are always
   * attachments.
   */
  readonly disposition?: 'inline' | 'attachment'
  /** Filename of the download. Default: the file's own. */
  readonly filename?: string
  /** Ends the wait for the service, which may have to fetch credentials to sign. */
  readonly signal?: AbortSignal
}

/** A file that has a URL. */
export interface WithUrl {
  /**
   * Creates the service's own expiring URL (Rails' `blob.url`). A service without URLs, such as
   * `disk`, gets a path that `handler` serves for the same time.
   */
  url(options?: UrlOptions): Promise<string>
}

/** The ways to read a file. */
export interface ReadableFile {
  /** Reads all bytes into memory. Throws FileNotFoundError. */
  download(): Promise<Buffer>
  /** Opens the bytes as a stream. It fails with FileNotFoundError. */
  stream(options?: StreamOptions): ReadableStream<Uint8Array>
  /** Writes a temporary file, and removes it when `use` has returned. */
  open<T>(use: (path: string) => T | PromiseLike<T>): Promise<T>
}

/** Rails' ActiveStorage::Blob. Not called `Blob`, because that is a global type. */
export interface StoredBlob extends FileInfo, ReadableFile, WithUrl {
  /** The name of the object in its service. */
  readonly key: string
  /** A name of `services`. */
  readonly serviceName: string
  /** Metadata of Rails and of the app. */
  readonly metadata: Readonly<Record<string, unknown>>
  readonly createdAt: Date
  /** The blob's id with a signature, safe to put into a form. `attach` takes it. */
  readonly signedId: string
  /** Removes row and object, unless something uses the blob. */
  purge(options?: PurgeOptions): Promise<void>
  /** Removes row and object by a job, unless something uses the blob. */
  purgeLater(): Promise<void>
}

/** Rails' ActiveStorage::Attachment, with the members of its blob. */
export interface Attachment extends FileInfo, ReadableFile, WithUrl {
  readonly state: 'attached'
  /** The attachment's name, such as 'photo'. */
  readonly name: string
  /** The record that the file is attached to. */
  readonly record: RecordRef
  readonly blob: StoredBlob
  readonly createdAt: Date
  /** The signed id of the blob. */
  readonly signedId: string
  /** Removes the attachment, keeps the blob. */
  detach(): Promise<void>
  /** Removes attachment, blob and object. Keeps the blob if something else uses it. */
  purge(options?: PurgeOptions): Promise<void>
  /** Removes the attachment now; a job removes blob and object. */
  purgeLater(): Promise<void>
}

/** A pending or failed file. Its bytes are read from the database. */
export interface DelayedFile extends FileInfo, ReadableFile {
  /** 'uploading': a staged file of a running upload. */
  readonly state: 'staged' | 'uploading' | 'attached' | 'failed'
  /** Bytes that the service has received in this attempt. */
  readonly uploadedBytes: number
  /** Error of the last attempt, for the app and its log. */
  readonly lastError: string | null
  /** Error of the last attempt, for visitors. `toJSON` gives this text as `lastError`. */
  readonly publicError: string | null
}

/**
 * One submission of files. An upload that is attached, with only its hooks left to run, is not
 * listed.
 */
export interface DelayedUpload {
  /** Id for `storage.delayedUploads.find`. */
  readonly id: string
  /** The id with a signature, for `storage.delayedUploads.findSigned`. */
  readonly signedId: string
  /** The record that the files are for. */
  readonly record: RecordRef
  /** The attachment's name, such as 'photo'. */
  readonly name: string
  /**
   * 'pending': waits for a worker; 'running': a worker has it; 'failed': waits for a manual retry.
   */
  readonly state: 'pending' | 'running' | 'failed'
  /** Number of attempts so far. */
  readonly attempts: number
  /** Time of the next attempt. */
  readonly runAt: Date
  /** Error of the last attempt, for the app and its log. */
  readonly lastError: string | null
  /** Error of the last attempt, for visitors. `toJSON` gives this text as `lastError`. */
  readonly publicError: string | null
  /** The files that are not dropped, in the order of the submission. */
  readonly files: readonly DelayedFile[]
  /** Whether the attached files are removed when the first new file is attached. */
  readonly cleanBefore: boolean
  /** Time of the submission. */
  readonly createdAt: Date
  /** Queues the failed files again, as a new submission. */
  retry(): Promise<void>
  /** Returns the path of the upload's progress: JSON, or a stream of events (`handler`). */
  path(): string
  /** Discards the upload and its bytes. */
  discard(): Promise<void>
  /** Returns plain data for pages. */
  toJSON(): Record<string, unknown>
}

/** Creates the methods that read a file from a function that reads its bytes. */
export function toReadableFile(
  filename: string,
  read: (options?: StreamOptions) => AsyncIterable<Uint8Array>,
): ReadableFile {
  return {
    async download() {
      const chunks: Uint8Array[] = []
      for await (const chunk of read()) chunks.push(chunk)
      return Buffer.concat(chunks)
    },
    stream(options) {
      const source = read(options)[Symbol.asyncIterator]()
      return new ReadableStream<Uint8Array>(
        {
          async pull(controller) {
            const { done, value } = await source.next()
            if (done === true) controller.close()
            else controller.enqueue(value)
          },
          async cancel() {
            await source.return?.()
          },
        },
        { highWaterMark: 0 },
      )
    },
    async open(use) {
      const folder = await TemporaryFolder.create(filename, {})
      try {
        const name = filename
          .replaceAll(/[^\w.-]+/g, '_')
          .slice(-100)
          .replace(/^\.+/, '')
        const path = await folder.write(name || 'file', read())
        return await use(path)
      } finally {
        await folder.remove()
      }
    },
  }
}
