import { createWriteStream } from 'node:fs'
import { mkdtemp, rm, statfs, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { types } from 'node:util'
import { ActiveStorageError, ServiceError, type ErrorDetails } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'
import { createFolderPrefix, sweepTemporaryFolders } from './sweep-temporary-folders.ts'

/**
 * A folder in use is touched this often, so that no other machine takes it for an abandoned one.
 */
const TOUCH_INTERVAL_MS = 3_600_000

/** Codes of disks that no socket has, because the bytes to write may come from one. */
const DISK_ERROR_CODE = /^E(ACCES|DQUOT|FBIG|IO|MFILE|NFILE|NOENT|NOSPC|NOTDIR|PERM|ROFS)$/

/** A disk with less free space than this counts as full. */
const FULL_BELOW_BYTES = 1_000_000

let firstSweep: Promise<void> | undefined

/**
 * A folder in the system's temporary folder for the bytes of one file. An error of its disk is
 * thrown as ServiceError, which is retried: the file is not at fault. Other errors, such as those
 * of the bytes' source, stay as they are.
 */
export class TemporaryFolder {
  readonly path: string
  readonly #filename: string
  readonly #details: ErrorDetails
  readonly #touching: NodeJS.Timeout

  private constructor(path: string, filename: string, details: ErrorDetails) {
    this.path = path
    this.#filename = filename
    this.#details = details
    const touch = (): void => void utimes(path, new Date(), new Date()).catch(() => undefined)
    this.#touching = setInterval(touch, TOUCH_INTERVAL_MS).unref()
  }

  /**
   * Makes a folder; the caller removes it. The first call of a process also removes what killed
   * processes left. `filename` and `details` are for errors.
   */
  static async create(filename: string, details: ErrorDetails): Promise<TemporaryFolder> {
    firstSweep ??= sweepTemporaryFolders()
    await firstSweep
    const prefix = await createFolderPrefix()
    const path = await mkdtemp(join(tmpdir(), prefix)).catch((error: unknown) => {
      throw toTemporaryFolderError(error, filename, details)
    })
    return new TemporaryFolder(path, filename, details)
  }

  /** Writes the bytes to a file in the folder and returns its path. */
  async write(
    name: string,
    bytes: AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<string> {
    const path = join(this.path, name)
    try {
      await pipeline(bytes, createWriteStream(path), signal === undefined ? {} : { signal })
      return path
    } catch (error) {
      throw toTemporaryFolderError(error, this.#filename, this.#details)
    }
  }

  /**
   * Returns ServiceError when the disk is full, or the given error. For code that does not report
   * why a write failed.
   */
  async explain(error: unknown): Promise<unknown> {
    const { bavail, bsize } = await statfs(this.path)
    return bavail * bsize < FULL_BELOW_BYTES
      ? toDiskFullError(error, this.#filename, this.#details)
      : error
  }

  /** Deletes the folder and all in it. */
  async remove(): Promise<void> {
    clearInterval(this.#touching)
    await rm(this.path, { recursive: true, force: true })
  }
}

/**
 * Turns an error of the temporary folder's disk into ServiceError, and returns every other error as
 * it is.
 */
function toTemporaryFolderError(error: unknown, filename: string, details: ErrorDetails): unknown {
  const code = types.isNativeError(error) && 'code' in error ? String(error.code) : ''
  if (error instanceof ActiveStorageError || !DISK_ERROR_CODE.test(code)) return error
  if (code === 'ENOSPC' || code === 'EDQUOT') return toDiskFullError(error, filename, details)
  return new ServiceError(
    `${filename} could not be written to the temporary folder ${tmpdir()}: ${messageOf(error)}. Set TMPDIR to a folder where the process may write.`,
    { cause: error, details: { ...details, filename } },
  )
}

function toDiskFullError(cause: unknown, filename: string, details: ErrorDetails): ServiceError {
  return new ServiceError(
    `${filename} could not be written to the temporary folder ${tmpdir()}: ${messageOf(cause)}. Its disk is full: free some space, or set TMPDIR to another folder.`,
    { cause, details: { ...details, filename } },
  )
}
