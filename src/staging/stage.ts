import { md5 } from '../blobs/checksum.ts'
import { identifyContentType } from '../blobs/content-type.ts'
import { normalizeFilename } from '../blobs/filename.ts'
import { bytesOf, type IncomingFile } from '../blobs/incoming.ts'
import type { Session } from '../database/session.ts'
import { traced } from '../diagnostics.ts'
import { InvalidInputError, type ErrorDetails } from '../errors.ts'
import { uuidv7 } from '../uuid.ts'
import {
  CHUNK_SIZE,
  dropUnlinked,
  finishStaging,
  insertChunk,
  insertStagingFile,
  renewStaging,
  STAGING_EXPIRES,
  type FileRow,
} from './file-rows.ts'
import { checkSize, checkType, type Limits } from './limits.ts'

export interface StageOptions {
  /** Milliseconds that the staged file waits to be linked. */
  readonly expiresIn: number
  readonly limits: Limits
  readonly details: ErrorDetails
  /** Inserts in flight; 1 inside a transaction. */
  readonly parallel: number
  /** The name and the declared type are read when all bytes are: the gem writes them last. */
  readonly namedAtEnd?: boolean
  readonly signal?: AbortSignal | undefined
}

/**
 * Writes a file's bytes into the database as they arrive, in bounded memory: at most `parallel` chunks. Autocommit when
 * the session is the pool's; inside the user's transaction its chunks roll back with it.
 */
export function stageFile(session: Session, file: IncomingFile, options: StageOptions): Promise<FileRow> {
  return traced('stage', { ...options.details, filename: file.filename }, () => stageTraced(session, file, options))
}

async function stageTraced(session: Session, file: IncomingFile, options: StageOptions): Promise<FileRow> {
  const id = uuidv7()
  const filename = normalizeFilename(file.filename)
  const details = { ...options.details, filename }
  await insertStagingFile(session, { id, filename, contentType: 'application/octet-stream' })
  let sqlFailed = false
  try {
    const { chunks, byteSize, checksum, contentType } = await writeChunks(session, id, filename, file, options, details, () => {
      sqlFailed = true
    })
    checkType(contentType, options.limits, details)
    const last = options.namedAtEnd === true ? normalizeFilename(file.filename) : filename
    const staged = await finishStaging(session, { id, filename: last, contentType, byteSize, checksum, chunks }, options.expiresIn)
    if (staged === null) throw new InvalidInputError(`${filename} took too long to arrive and was given up. Send it again.`, { details })
    return staged
  } catch (error) {
    // After an SQL error the user's transaction takes no further statement; the sweep finds what is left.
    if (!sqlFailed) await dropUnlinked(session, id).catch(() => false)
    throw error
  }
}

interface Written {
  readonly chunks: number
  readonly byteSize: number
  readonly checksum: string
  readonly contentType: string
}

async function writeChunks(
  session: Session,
  id: string,
  filename: string,
  file: IncomingFile,
  options: StageOptions,
  details: ErrorDetails,
  onSqlError: () => void,
): Promise<Written> {
  const hash = md5()
  const inFlight = new Set<Promise<void>>()
  let failure: unknown
  let renewedAt = performance.now()
  // Buffers go round: what an insert has written is filled again.
  const free: Buffer[] = []
  let buffer: Buffer = Buffer.allocUnsafe(CHUNK_SIZE)
  let filled = 0
  let chunks = 0
  let byteSize = 0
  let contentType: string | undefined
  let head: Buffer = buffer.subarray(0, 0)

  const flush = async (): Promise<void> => {
    const data = buffer.subarray(0, filled)
    if (chunks === 0) head = options.namedAtEnd === true ? Buffer.from(data) : data
    if (contentType === undefined && options.namedAtEnd !== true) {
      contentType = await identifyContentType(data, filename, file.declaredType)
      checkType(contentType, options.limits, details)
    }
    if (filled === 0) return
    hash.update(data)
    const full = buffer
    const insert: Promise<void> = insertChunk(session, id, chunks, data)
      .then(() => void free.push(full))
      .catch((error: unknown) => {
        onSqlError()
        failure ??= error
      })
      .finally(() => inFlight.delete(insert))
    inFlight.add(insert)
    chunks += 1
    if (inFlight.size >= options.parallel) await Promise.race(inFlight)
    buffer = free.pop() ?? Buffer.allocUnsafe(CHUNK_SIZE)
    filled = 0
    if (failure !== undefined) throw failure
  }

  try {
    for await (const piece of bytesOf(file, details, options.signal)) {
      byteSize += piece.length
      checkSize(byteSize, options.limits, details)
      for (let offset = 0; offset < piece.length;) {
        const length = Math.min(piece.length - offset, CHUNK_SIZE - filled)
        buffer.set(piece.subarray(offset, offset + length), filled)
        filled += length
        offset += length
        if (filled === CHUNK_SIZE) await flush()
      }
      if (performance.now() - renewedAt <= STAGING_EXPIRES / 3) continue
      renewedAt = performance.now()
      await renewStaging(session, id)
    }
    options.signal?.throwIfAborted()
    await flush()
    if (options.namedAtEnd === true) contentType = await identifyContentType(head, normalizeFilename(file.filename), file.declaredType)
  } finally {
    await Promise.all(inFlight)
  }
  if (failure !== undefined) throw failure
  return { chunks, byteSize, checksum: hash.digest(), contentType: contentType ?? 'application/octet-stream' }
}
