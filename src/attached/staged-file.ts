import type { FileRow } from '../staging/file-rows.ts'
import type { StorageContext } from './context.ts'
import type { PathOptions } from './paths.ts'

/** A file that waits in the database to be linked. A class with a public constructor, so that schema libraries can name it. */
export class StagedFile {
  /** In a hidden form field it is the file: it survives a failed validation and a form shown again. */
  readonly signedId: string
  readonly filename: string
  readonly contentType: string
  /** Bytes. */
  readonly byteSize: number
  /** Base64 MD5. */
  readonly checksum: string
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

  /** Where its bytes can be seen, and the file once it is attached (`handler`). Synchronous, for templates. */
  path(options?: PathOptions): string {
    return this.#path(options)
  }

  /** Gives the file up, unless it was submitted meanwhile. */
  discard(): Promise<void> {
    return this.#discard()
  }

  toJSON(): Record<string, unknown> {
    const { signedId, filename, contentType, byteSize, checksum, expiresAt } = this
    return { signedId, filename, contentType, byteSize, checksum, expiresAt }
  }
}

/** Staged files that this process made. Neither JSON nor an app's own `new StagedFile` gets in. */
const stagedHere = new WeakMap<StagedFile, { context: StorageContext; id: string }>()

/** Marks a file as staged by this storage in this process. */
export function rememberStagedFile(file: StagedFile, context: StorageContext, id: string): void {
  stagedHere.set(file, { context, id })
}

/** The id of a file that this storage staged in this process; null: its signed id has to be verified. */
export function findStagedId(file: StagedFile, context: StorageContext): string | null {
  const found = stagedHere.get(file)
  return found?.context === context ? found.id : null
}
