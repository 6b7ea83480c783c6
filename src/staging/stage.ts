import { createMd5 } from '../blobs/md5-hash.ts'
import { identifyContentType } from '../blobs/content-type.ts'
import { normalizeFilename } from '../blobs/filename.ts'
import { readIncomingFile, type IncomingFile } from '../blobs/incoming-file.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import { trace } from '../diagnostics/tracing.ts'
import { InvalidInputError, type ErrorDetails } from '../errors/errors.ts'
import { formatFile } from '../errors/public-message.ts'
import { createSemaphore } from '../async/semaphore.ts'
import { uuidv7 } from '../database/uuid.ts'
import { CHUNK_SIZE, renewStaging, STAGING_EXPIRES_MS, type FileRow } from './file-rows.ts'
import { dropUnlinkedFile, insertStagedFile } from './file-transitions.ts'
import { appendChunk, completeStaging, openStaging } from './staging-file.ts'
import { splitIntoChunks } from './split-into-chunks.ts'
import { checkFileSize, checkFileType, type FileLimits } from './limits.ts'
import { createConcurrentWrites, type ConcurrentWrites } from './concurrent-writes.ts'

/** The place where bytes are written: a store, or an open transaction. */
export type StagingTarget = Pick<Store, 'session' | 'chunkWrites' | 'freeBuffers' | 'transact'> & {
  /** Set for a user's transaction, which takes no further statement after an SQL error. */
  readonly joined?: true
}

/** Returns the target that writes in an open transaction: the bytes roll back with it. */
export const createJoinedTarget = (session: Session): StagingTarget => ({
  session,
  chunkWrites: createSemaphore(1),
  freeBuffers: [],
  transact: (run) => run(session),
  joined: true,
})

/** Options of `stageIncomingFile`. */
export interface StagingOptions {
  /** Milliseconds in which the staged file can be submitted. */
  readonly expiresIn: number
  readonly limits: FileLimits
  /** Record and attachment, for errors. */
  readonly details: ErrorDetails
  /** true: name and declared type are read after all bytes, because the gem writes them last. */
  readonly nameComesLast?: boolean
  readonly signal?: AbortSignal | undefined
}

/**
 * Writes a file's bytes into the database as they arrive, in one pass and in bounded memory: one
 * chunk per file, and one per running statement. A file that fits in one chunk is written when it
 * is complete, in one transaction.
 *
 * Throws InvalidInputError if the client was too slow, and the errors of `limits`.
 */
export function stageIncomingFile(
  target: StagingTarget,
  file: IncomingFile,
  options: StagingOptions,
): Promise<FileRow> {
  return trace('stage', { ...options.details, filename: file.filename }, () =>
    stageTraced(target, file, options),
  )
}

async function stageTraced(
  target: StagingTarget,
  file: IncomingFile,
  options: StagingOptions,
): Promise<FileRow> {
  const id = uuidv7()
  const details = { ...options.details, filename: normalizeFilename(file.filename) }
  const writes = createConcurrentWrites(target.chunkWrites)
  const tooSlow = (): InvalidInputError =>
    new InvalidInputError(
      `${details.filename} took too long to arrive and was given up. Send it again.`,
      {
        details,
        publicMessage: `${formatFile(details)} took too long to arrive. Send it again.`,
      },
    )
  try {
    const staged = await new FileWriter(target, writes, id, file, { ...options, details }).write()
    if (staged === null) throw tooSlow()
    return staged
  } catch (error) {
    await writes.drain().catch(() => undefined)
    if (writes.written === 0 || (writes.failed && target.joined === true)) throw error
    const dropped = await dropUnlinkedFile(target.session, id).catch(() => true)
    // A chunk is refused when the sweep has dropped its file meanwhile.
    throw writes.failed && !dropped ? tooSlow() : error
  }
}

/** One file that is written in one pass, as its bytes arrive. */
class FileWriter {
  readonly #target: StagingTarget
  readonly #writes: ConcurrentWrites
  readonly #id: string
  readonly #file: IncomingFile
  readonly #options: StagingOptions
  readonly #hash = createMd5()
  #byteSize = 0
  #chunks = 0
  #contentType = ''
  #renewedAt = performance.now()

  constructor(
    target: StagingTarget,
    writes: ConcurrentWrites,
    id: string,
    file: IncomingFile,
    options: StagingOptions,
  ) {
    this.#target = target
    this.#writes = writes
    this.#id = id
    this.#file = file
    this.#options = options
  }

  /** Returns null if the file took so long that it was dropped. */
  async write(): Promise<FileRow | null> {
    const { session, freeBuffers, transact } = this.#target
    const { expiresIn, nameComesLast = false } = this.#options
    let head: Buffer | undefined
    for await (const { data, last } of splitIntoChunks(this.#readPieces(), freeBuffers)) {
      this.#hash.update(data)
      head ??= nameComesLast ? Buffer.from(data) : data
      if (this.#contentType === '' && (last || !nameComesLast)) await this.#identify(head)
      if (this.#chunks === 0 && last) {
        const whole = this.#describe()
        return this.#writes.run(() =>
          transact((own) => insertStagedFile(own, whole, data, expiresIn)),
        )
      }
      await this.#append(data, last)
    }
    await this.#writes.drain()
    return completeStaging(session, this.#describe(), expiresIn)
  }

  async #append(data: Buffer, last: boolean): Promise<void> {
    const { session, freeBuffers, chunkWrites } = this.#target
    const id = this.#id
    if (this.#chunks === 0)
      await this.#writes.run(() => openStaging(session, { id, filename: this.#filename() }))
    const offset = this.#chunks * CHUNK_SIZE
    this.#chunks += 1
    await this.#writes.start(async () => {
      await appendChunk(session, id, offset, data)
      // The buffer is free for the next chunk of any file.
      if (!last && freeBuffers.length < chunkWrites.limit) freeBuffers.push(data)
    })
  }

  async *#readPieces(): AsyncGenerator<Uint8Array> {
    const { details, limits, signal } = this.#options
    for await (const piece of readIncomingFile(this.#file, details, signal)) {
      this.#byteSize += piece.length
      checkFileSize(this.#byteSize, limits, details)
      yield piece
      if (this.#chunks === 0 || performance.now() - this.#renewedAt <= STAGING_EXPIRES_MS / 3)
        continue
      this.#renewedAt = performance.now()
      await renewStaging(this.#target.session, this.#id)
    }
    signal?.throwIfAborted()
  }

  async #identify(head: Buffer): Promise<void> {
    const { limits, details } = this.#options
    this.#contentType = await identifyContentType(head, this.#filename(), this.#file.declaredType)
    checkFileType(this.#contentType, limits, details)
  }

  /** Reads the name at each call, because the gem writes it last. */
  #filename(): string {
    return normalizeFilename(this.#file.filename)
  }

  #describe() {
    return {
      id: this.#id,
      filename: this.#filename(),
      contentType: this.#contentType,
      byteSize: this.#byteSize,
      checksum: this.#hash.digest(),
      chunks: this.#chunks,
    }
  }
}
