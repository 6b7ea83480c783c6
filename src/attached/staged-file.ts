import type { FileRow } from '../staging/file-rows.ts'
import type { StorageContext } from './context.ts'
import type { PathOptions } from './paths.ts'

/**
 * A file in the database that is not submitted yet. A class with a public constructor, so that
 * schema libraries can name it.
 */
export class StagedFile {
  /** Stands for the file in a hidden form field, so that the file survives a failed validation. */
  readonly signedId: string
  readonly filename: string
  readonly contentType: string
  /** Bytes. */
  readonly byteSize: number
  /** Base64 MD5. */
  readonly checksum: string
  /** Time after which the file is deleted unless it was submitted. */
  readonly expiresAt: Date
  readonly #path: (options?: PathOptions) => string
  readonly #discard: () => Promise<void>

  /** @internal */
  constructor(
    row: FileRow,
    signedId: string,
    path: (options?: PathOptions) => string,
    discard: () => Promise<void>,
  ) {
    this.signedId = signedId
    this.filename = row.filename
    this.contentType = row.contentType
    this.byteSize = row.byteSize
    this.checksum = row.checksum
    this.expiresAt = new Date(row.expiresAt)
    this.#path = path
    this.#discard = discard
  }

  /**
   * Returns the path that serves the bytes, and redirects once the file is attached (`handler`).
   * Synchronous, for templates.
   */
  path(options?: PathOptions): string {
    return this.#path(options)
  }

  /** Drops the file, unless it was submitted meanwhile. */
  discard(): Promise<void> {
    return this.#discard()
  }

  /** Returns plain data for pages. */
  toJSON(): Record<string, unknown> {
    const { signedId, filename, contentType, byteSize, checksum, expiresAt } = this
    return { signedId, filename, contentType, byteSize, checksum, expiresAt }
  }
}

/**
 * The staged files that this process made, which need no verification. An app cannot add one,
 * neither from JSON nor by `new StagedFile`.
 */
const stagedHere = new WeakMap<StagedFile, { context: StorageContext; id: string }>()

/** Marks a file as staged by this storage in this process. */
export function rememberStagedFile(file: StagedFile, context: StorageContext, id: string): void {
  stagedHere.set(file, { context, id })
}

/**
 * Finds the id of a file that this storage staged in this process. null: its signed id has to be
 * verified.
 */
export function findStagedId(file: StagedFile, context: StorageContext): string | null {
  const found = stagedHere.get(file)
  return found?.context === context ? found.id : null
}
