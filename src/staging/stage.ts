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
import {
  dropUnlinkedFile,
  finishStaging,
  insertChunk,
  insertStagedFile,
  insertStagingFile,
  renewStaging,
  STAGING_EXPIRES_MS,
  type FileRow,
} from './file-rows.ts'
import { splitIntoChunks } from './split-into-chunks.ts'
import { checkFileSize, checkFileType, type FileLimits } from './limits.ts'
import { createConcurrentWrites, type ConcurrentWrites } from './concurrent-writes.ts'

/** Where bytes are staged: a store, or a transaction that is open. */
export type StagingTarget = Pick<Store, 'session' | 'turns' | 'spare' | 'transact'> & {
  /** A user's transaction, which takes no further statement after an SQL error. */
  readonly joined?: true
}

/** The chunks roll back with the transaction. */
export const createJoinedTarget = (session: Session): StagingTarget => ({
  session,
  turns: createSemaphore(1),
  spare: [],
  transact: (run) => run(session),
  joined: true,
})

export interface StagingOptions {
  /** Milliseconds that the staged file waits to be linked. */
  readonly expiresIn: number
  readonly limits: FileLimits
  readonly details: ErrorDetails
  /** The name and the declared type are read when all bytes are: the gem writes them last. */
  readonly nameComesLast?: boolean
  readonly signal?: AbortSignal | undefined
}

/**
 * Writes a file's bytes into the database as they arrive, in bounded memory: a chunk for each file that is coming in, and one
 * for each turn of the target. A file that fits in one chunk meets the database once, when all of it is here.
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
  const sent = createConcurrentWrites(target.turns)
  const tooSlow = (): InvalidInputError =>
    new InvalidInputError(
      `${details.filename} took too long to arrive and was given up. Send it again.`,
      {
        details,
        publicMessage: `${formatFile(details)} took too long to arrive. Send it again.`,
      },
    )
  try {
    const staged = await writeFile(target, sent, id, file, { ...options, details })
    if (staged === null) throw tooSlow()
    return staged
  } catch (error) {
    await sent.drain().catch(() => undefined)
    if (sent.written === 0 || (sent.failed && target.joined === true)) throw error
    const dropped = await dropUnlinkedFile(target.session, id).catch(() => true)
    // A chunk is refused when the sweep has taken its file away meanwhile.
    throw sent.failed && !dropped ? tooSlow() : error
  }
}

/** null: the file took so long that it was given up. */
async function writeFile(
  { session, turns: { limit: atOnce }, spare, transact }: StagingTarget,
  sent: ConcurrentWrites,
  id: string,
  file: IncomingFile,
  options: StagingOptions,
): Promise<FileRow | null> {
  const { details, limits, signal, expiresIn, nameComesLast: namedAtEnd = false } = options
  const nameNow = (): string => normalizeFilename(file.filename)
  const hash = createMd5()
  let byteSize = 0
  let chunks = 0
  let contentType = ''
  let head: Buffer | undefined
  let renewedAt = performance.now()

  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    for await (const piece of readIncomingFile(file, details, signal)) {
      byteSize += piece.length
      checkFileSize(byteSize, limits, details)
      yield piece
      if (chunks === 0 || performance.now() - renewedAt <= STAGING_EXPIRES_MS / 3) continue
      renewedAt = performance.now()
      await renewStaging(session, id)
    }
    signal?.throwIfAborted()
  }
  const identify = async (first: Buffer): Promise<string> => {
    const type = await identifyContentType(first, nameNow(), file.declaredType)
    checkFileType(type, limits, details)
    return type
  }
  const finished = () => ({
    id,
    filename: nameNow(),
    contentType,
    byteSize,
    checksum: hash.digest(),
    chunks,
  })

  for await (const { data, last } of splitIntoChunks(pieces(), spare)) {
    hash.update(data)
    head ??= namedAtEnd ? Buffer.from(data) : data
    if (last || !namedAtEnd) contentType ||= await identify(head)
    if (chunks === 0) {
      if (last) {
        const whole = finished()
        return sent.run(() => transact((own) => insertStagedFile(own, whole, data, expiresIn)))
      }
      await sent.run(() =>
        insertStagingFile(session, {
          id,
          filename: nameNow(),
          contentType: 'application/octet-stream',
        }),
      )
    }
    const position = chunks
    chunks += 1
    await sent.start(async () => {
      await insertChunk(session, id, position, data)
      // For the next chunk, whoever's it is.
      if (!last && spare.length < atOnce) spare.push(data)
    })
  }
  await sent.drain()
  return finishStaging(session, finished(), expiresIn)
}
