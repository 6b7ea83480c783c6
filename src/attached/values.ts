import { TemporaryFolder } from '../blobs/temporary-folder.ts'
import type { Duration } from '../options/units.ts'
import type { PathOptions } from './paths.ts'

/** Names a record. */
export interface RecordRef {
  readonly type: string
  readonly id: string
}

/** What is known of each file, on its way or stored. */
export interface FileInfo {
  readonly id: string
  readonly filename: string
  readonly contentType: string
  /** Bytes. */
  readonly byteSize: number
  /** Base64 MD5. */
  readonly checksum: string
  /**
   * The app's own permanent route to the file, where `handler` is mounted: synchronous, for templates. Of a file that is on
   * its way, it serves the staged bytes, and redirects once they are attached.
   */
  path(options?: PathOptions): string
  toJSON(): Record<string, unknown>
}

/** Of a file's `stream`. */
export interface StreamOptions {
  /** Inclusive byte positions. */
  readonly range?: readonly [start: number, end: number]
  readonly signal?: AbortSignal
}

/** Of a service's own URL. */
export interface UrlOptions {
  /** Default '5m'. Public services' URLs do not expire. */
  readonly expiresIn?: Duration
  /** Default 'inline'. What a browser must not show, such as HTML, SVG and text, is an attachment all the same. */
  readonly disposition?: 'inline' | 'attachment'
  /** The name to save it under. Default: its own. */
  readonly filename?: string
}

/** Stored files have URLs where their service has them. */
export interface WithUrl {
  /**
   * The service's own expiring URL (Rails' `blob.url`). Where the service has none, as `disk`, a path that `handler` serves
   * as long.
   */
  url(options?: UrlOptions): Promise<string>
}

/** The ways to read a file. */
export interface ReadableFile {
  /** All bytes in memory. Throws FileNotFoundError. */
  download(): Promise<Buffer>
  /** The bytes as they come. The stream errs with FileNotFoundError. */
  stream(options?: StreamOptions): ReadableStream<Uint8Array>
  /** A temporary file, removed when `use` has returned. */
  open<T>(use: (path: string) => T | PromiseLike<T>): Promise<T>
}

/** Rails' ActiveStorage::Blob; not called `Blob`, which every TypeScript file already has. */
export interface StoredBlob extends FileInfo, ReadableFile, WithUrl {
  readonly key: string
  readonly serviceName: string
  readonly metadata: Readonly<Record<string, unknown>>
  readonly createdAt: Date
  readonly signedId: string
  /** Removes row and object, unless something still uses it. */
  purge(): Promise<void>
  /** The same by a job. */
  purgeLater(): Promise<void>
}

/** Rails' ActiveStorage::Attachment, with what its blob says of the file. */
export interface Attachment extends FileInfo, ReadableFile, WithUrl {
  readonly state: 'attached'
  /** The attachment's name, such as 'photo'. */
  readonly name: string
  readonly record: RecordRef
  readonly blob: StoredBlob
  readonly createdAt: Date
  /** The blob's. */
  readonly signedId: string
  /** Removes the attachment, keeps the blob. */
  detach(): Promise<void>
  /** Removes attachment, blob and object, unless something else uses the blob. */
  purge(): Promise<void>
  /** Removes the attachment now, blob and object by a job. */
  purgeLater(): Promise<void>
}

/** A file that is not attached yet, or failed. Its bytes can be read from the database. */
export interface DelayedFile extends FileInfo, ReadableFile {
  /** 'uploading': staged in a running upload. */
  readonly state: 'staged' | 'uploading' | 'attached' | 'failed'
  /** Bytes the service took so far in this attempt. */
  readonly uploadedBytes: number
  /** Why its last attempt failed, for the app and its log. */
  readonly lastError: string | null
  /** The same for visitors; in JSON it is called `lastError`, and the text for the log is left out. */
  readonly publicError: string | null
}

/** One submission of files on its way. One that is attached, with only its hooks left, is not listed. */
export interface DelayedUpload {
  readonly id: string
  readonly signedId: string
  readonly record: RecordRef
  readonly name: string
  readonly state: 'pending' | 'running' | 'failed'
  /** How often it was tried. */
  readonly attempts: number
  /** When it is due next. */
  readonly runAt: Date
  /** Why the last attempt failed, for the app and its log. */
  readonly lastError: string | null
  /** The same for visitors; in JSON it is called `lastError`, and the text for the log is left out. */
  readonly publicError: string | null
  readonly files: readonly DelayedFile[]
  readonly cleanBefore: boolean
  readonly createdAt: Date
  /** A new submission of the files that failed. */
  retry(): Promise<void>
  /** Where it is followed: JSON, or a stream of events (`handler`). */
  path(): string
  /** Gives it up and deletes its bytes. */
  discard(): Promise<void>
  toJSON(): Record<string, unknown>
}

/** The three ways to read, over one source of bytes. */
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
