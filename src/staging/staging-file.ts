import { sql } from 'kysely'
import { createMd5 } from '../blobs/md5-hash.ts'
import { nowPlus } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import { StagedFileExpiredError, StagingOffsetError } from '../errors/errors.ts'
import { readSlices } from './chunks.ts'
import { CHUNK_SIZE, insertChunk, STAGING_EXPIRES_MS, type FileRow } from './file-rows.ts'
import { finishStaging, insertStagingFile } from './file-transitions.ts'

/**
 * Inserts an empty file, to which bytes are appended. It is dropped when no byte comes for
 * `STAGING_EXPIRES_MS`.
 */
export function openStaging(
  session: Session,
  file: { readonly id: string; readonly filename: string },
): Promise<void> {
  return insertStagingFile(session, { ...file, contentType: 'application/octet-stream' })
}

/**
 * Appends one chunk in one statement, for a file with one writer, which knows the file's size.
 * Several chunks may be written at the same time. All but the last must be full. Throws
 * StagingOffsetError if `offset` is not a multiple of `CHUNK_SIZE`.
 */
export async function appendChunk(
  session: Session,
  fileId: string,
  offset: number,
  data: Buffer,
): Promise<void> {
  const position = offset / CHUNK_SIZE
  if (!Number.isInteger(position))
    throw new StagingOffsetError(
      `Byte ${offset} is not at the start of a chunk of ${CHUNK_SIZE} bytes.`,
      Math.floor(position) * CHUNK_SIZE,
    )
  await insertChunk(session, fileId, position, data)
}

/**
 * Appends bytes to a file with any number of writers: several requests or processes may send its
 * parts, one after the other. A short last chunk is filled first. Renews the file's expiry and
 * returns the new size in bytes.
 *
 * Throws StagingOffsetError, with the size, unless the file ends at `offset`, and
 * StagedFileExpiredError if the file was dropped or is complete. Both change nothing.
 */
export function appendBytes(
  target: Pick<Store, 'transact'>,
  fileId: string,
  offset: number,
  data: Buffer,
): Promise<number> {
  return target.transact(async (session) => {
    await lockStagingFile(session, fileId)
    const end = await readEnd(session, fileId)
    if (end.byteSize !== offset)
      throw new StagingOffsetError(
        `The staged file ${fileId} ends at byte ${end.byteSize}, not at ${offset}. Send the bytes from there.`,
        end.byteSize,
      )
    const filled = end.tail === null ? 0 : Math.min(data.length, CHUNK_SIZE - end.tail.length)
    if (end.tail !== null && filled > 0)
      await replaceChunk(
        session,
        fileId,
        end.chunks - 1,
        Buffer.concat([end.tail, data.subarray(0, filled)]),
      )
    let position = end.chunks
    for (let from = filled; from < data.length; from += CHUNK_SIZE, position += 1)
      await insertChunk(session, fileId, position, data.subarray(from, from + CHUNK_SIZE))
    return offset + data.length
  })
}

/** Size and MD5 of the bytes of a file, as `completeStaging` needs them. */
export interface StagedDigest {
  readonly byteSize: number
  /** Number of chunks. */
  readonly chunks: number
  /** Base64 MD5. */
  readonly checksum: string
}

/**
 * Measures a file by reading its chunks, for a file of several writers, where no process has seen
 * all bytes. `head` is the first chunk, to identify the content type.
 */
export async function measureStaging(
  store: Store,
  fileId: string,
  signal?: AbortSignal,
): Promise<StagedDigest & { readonly head: Buffer }> {
  const { byteSize, chunks } = await readEnd(store.session, fileId)
  const hash = createMd5()
  let head: Buffer | undefined
  for await (const slice of readSlices(store, fileId, 0, chunks, signal))
    for (const chunk of slice) {
      hash.update(chunk)
      head ??= chunk
    }
  return { byteSize, chunks, checksum: hash.digest(), head: head ?? Buffer.alloc(0) }
}

/**
 * Makes a file usable: it can be submitted for `expiresIn` milliseconds. Returns null if it was
 * dropped, or if its bytes are not those of the digest: some are missing, or were appended
 * meanwhile.
 */
export function completeStaging(
  session: Session,
  file: StagedDigest & {
    readonly id: string
    readonly filename: string
    readonly contentType: string
  },
  expiresIn: number,
): Promise<FileRow | null> {
  return finishStaging(session, file, expiresIn)
}

/**
 * Locks the row by an update of its expiry, so that writers of one file come one after the other.
 */
async function lockStagingFile(session: Session, fileId: string): Promise<void> {
  const { numUpdatedRows } = await session.db
    .updateTable('files')
    .set({ expires_at: nowPlus(session.dialect, STAGING_EXPIRES_MS) })
    .where('id', '=', fileId)
    .where('state', '=', 'staging')
    .executeTakeFirstOrThrow()
  if (Number(numUpdatedRows) !== 1)
    throw new StagedFileExpiredError(
      `The file ${fileId} takes no more bytes: it was given up, or is complete. Send it again as a new file.`,
    )
}

interface StagedEnd {
  readonly byteSize: number
  readonly chunks: number
  /** Bytes of the last chunk, if it is short; null: all chunks are full. */
  readonly tail: Buffer | null
}

/** Reads the last chunk, which gives the size: all chunks before it are full. */
async function readEnd(session: Session, fileId: string): Promise<StagedEnd> {
  const length = session.dialect === 'sqlite' ? sql`length(data)` : sql`octet_length(data)`
  const { rows } = await sql<{ position: number; tail: Buffer | null }>`
    select position, case when ${length} < ${sql.lit(CHUNK_SIZE)} then data end as tail
    from ${sql.table('chunks')} where file_id = ${fileId} order by position desc limit 1`.execute(
    session.db,
  )
  const [last] = rows
  if (last === undefined) return { byteSize: 0, chunks: 0, tail: null }
  const chunks = Number(last.position) + 1
  const { tail } = last
  return {
    byteSize: chunks * CHUNK_SIZE - (tail === null ? 0 : CHUNK_SIZE - tail.length),
    chunks,
    tail,
  }
}

async function replaceChunk(
  session: Session,
  fileId: string,
  position: number,
  data: Buffer,
): Promise<void> {
  await session.db
    .updateTable('chunks')
    .set({ data })
    .where('file_id', '=', fileId)
    .where('position', '=', position)
    .execute()
}
