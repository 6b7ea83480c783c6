import { md5 } from '../blobs/checksum.ts'
import { identifyContentType } from '../blobs/content-type.ts'
import { normalizeFilename } from '../blobs/filename.ts'
import { bytesOf, type IncomingFile } from '../blobs/incoming.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import { traced } from '../diagnostics.ts'
import { InvalidInputError, type ErrorDetails } from '../errors.ts'
import { fileText } from '../public-message.ts'
import { turns } from '../turns.ts'
import { uuidv7 } from '../uuid.ts'
import {
  dropUnlinked,
  finishStaging,
  insertChunk,
  insertStagedFile,
  insertStagingFile,
  renewStaging,
  STAGING_EXPIRES,
  type FileRow,
} from './file-rows.ts'
import { inChunks } from './in-chunks.ts'
import { checkSize, checkType, type Limits } from './limits.ts'
import { statements, type Statements } from './statements.ts'

/** Where bytes are staged: a store, or a transaction that is open. */
export type StagingTarget = Pick<Store, 'session' | 'turns' | 'spare' | 'transact'> & {
  /** A user's transaction, which takes no further statement after an SQL error. */
  readonly joined?: true
}

/** The chunks roll back with the transaction. */
export const insideTransaction = (session: Session): StagingTarget => ({
  session,
  turns: turns(1),
  spare: [],
  transact: (run) => run(session),
  joined: true,
})

export interface StageOptions {
  /** Milliseconds that the staged file waits to be linked. */
  readonly expiresIn: number
  readonly limits: Limits
  readonly details: ErrorDetails
  /** The name and the declared type are read when all bytes are: the gem writes them last. */
  readonly namedAtEnd?: boolean
  readonly signal?: AbortSignal | undefined
}

/**
 * Writes a file's bytes into the database as they arrive, in bounded memory: a chunk for each file that is coming in, and one
 * for each turn of the target. A file that fits in one chunk meets the database once, when all of it is here.
 */
export function stageFile(
  target: StagingTarget,
  file: IncomingFile,
  options: StageOptions,
): Promise<FileRow> {
  return traced('stage', { ...options.details, filename: file.filename }, () =>
    stageTraced(target, file, options),
  )
}

async function stageTraced(
  target: StagingTarget,
  file: IncomingFile,
  options: StageOptions,
): Promise<FileRow> {
  const id = uuidv7()
  const details = { ...options.details, filename: normalizeFilename(file.filename) }
  const sent = statements(target.turns)
  const tooSlow = (): InvalidInputError =>
    new InvalidInputError(
      `${details.filename} took too long to arrive and was given up. Send it again.`,
      {
        details,
        publicMessage: `${fileText(details)} took too long to arrive. Send it again.`,
      },
    )
  try {
    const staged = await write(target, sent, id, file, { ...options, details })
    if (staged === null) throw tooSlow()
    return staged
  } catch (error) {
    await sent.end().catch(() => undefined)
    if (sent.written === 0 || (sent.failed && target.joined === true)) throw error
    const dropped = await dropUnlinked(target.session, id).catch(() => true)
    // A chunk is refused when the sweep has taken its file away meanwhile.
    throw sent.failed && !dropped ? tooSlow() : error
  }
}

/** null: the file took so long that it was given up. */
async function write(
  { session, turns: { atOnce }, spare, transact }: StagingTarget,
  sent: Statements,
  id: string,
  file: IncomingFile,
  options: StageOptions,
): Promise<FileRow | null> {
  const { details, limits, signal, expiresIn, namedAtEnd = false } = options
  const nameNow = (): string => normalizeFilename(file.filename)
  const hash = md5()
  let byteSize = 0
  let chunks = 0
  let contentType = ''
  let head: Buffer | undefined
  let renewedAt = performance.now()

  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    for await (const piece of bytesOf(file, details, signal)) {
      byteSize += piece.length
      checkSize(byteSize, limits, details)
      yield piece
      if (chunks === 0 || performance.now() - renewedAt <= STAGING_EXPIRES / 3) continue
      renewedAt = performance.now()
      await renewStaging(session, id)
    }
    signal?.throwIfAborted()
  }
  const identify = async (first: Buffer): Promise<string> => {
    const type = await identifyContentType(first, nameNow(), file.declaredType)
    checkType(type, limits, details)
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

  for await (const { data, last } of inChunks(pieces(), spare)) {
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
    await sent.begin(async () => {
      await insertChunk(session, id, position, data)
      // For the next chunk, whoever's it is.
      if (!last && spare.length < atOnce) spare.push(data)
    })
  }
  await sent.end()
  return finishStaging(session, finished(), expiresIn)
}
