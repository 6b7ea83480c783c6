import { sql, type RawBuilder } from 'kysely'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import { IntegrityError } from '../errors/errors.ts'
import { createMd5 } from '../blobs/md5-hash.ts'
import { CHUNK_SIZE, type FileRow } from './file-rows.ts'

/** Number of chunks that are read at once: 4 MiB. */
const SLICE_CHUNKS = 8

/** Reads chunks from a position on, up to `to` (exclusive), but no more than a slice. */
async function readSlice(
  store: Store,
  fileId: string,
  from: number,
  to: number,
): Promise<Buffer[]> {
  const { database, session, tables } = store
  if (database.readChunks !== undefined)
    return database.readChunks(tables.chunks, fileId, from, Math.min(to, from + SLICE_CHUNKS))
  const rows = await session.db
    .selectFrom('chunks')
    .select('data')
    .where('file_id', '=', fileId)
    .where('position', '>=', from)
    .where('position', '<', Math.min(to, from + 2))
    .orderBy('position')
    .execute()
  return rows.map((row) => row.data)
}

/**
 * Yields slices in order and reads the next one ahead: two are in memory at most, and no connection
 * is held while a service is slow.
 */
export async function* readSlices(
  store: Store,
  fileId: string,
  from: number,
  to: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer[]> {
  let position = from
  let next: Promise<Buffer[]> | undefined
  try {
    while (position < to) {
      signal?.throwIfAborted()
      const chunks = await (next ?? readSlice(store, fileId, position, to))
      next = undefined
      if (chunks.length === 0) return
      position += chunks.length
      if (position < to) {
        next = readSlice(store, fileId, position, to)
        // Awaited in the next round; until then a rejection must not count as unhandled.
        next.catch(() => undefined)
      }
      yield chunks
    }
  } finally {
    await next?.catch(() => undefined)
  }
}

/**
 * Yields the staged bytes in order. Throws IntegrityError at the end unless size and MD5 are those
 * of the file.
 */
export async function* readStaged(
  store: Store,
  file: FileRow,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  const hash = createMd5()
  let size = 0
  for await (const chunks of readSlices(store, file.id, 0, countChunks(file), signal))
    for (const chunk of chunks) {
      hash.update(chunk)
      size += chunk.length
      yield chunk
    }
  if (size !== file.byteSize || hash.digest() !== file.checksum)
    throw createIncompleteError(file, size)
}

/**
 * Yields the bytes from `start` to `end` (inclusive) without reading those before. A part has no
 * checksum to verify.
 */
export async function* readStagedRange(
  store: Store,
  file: FileRow,
  start: number,
  end: number,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  const first = Math.floor(start / CHUNK_SIZE)
  let at = first * CHUNK_SIZE
  for await (const chunks of readSlices(
    store,
    file.id,
    first,
    Math.floor(end / CHUNK_SIZE) + 1,
    signal,
  ))
    for (const chunk of chunks) {
      yield chunk.subarray(Math.max(0, start - at), end + 1 - at)
      at += chunk.length
    }
  if (at <= end) throw createIncompleteError(file, at)
}

/** Computes the number of chunks: all but the last are full. */
const countChunks = (file: FileRow): number => Math.ceil(file.byteSize / CHUNK_SIZE)

/** Creates the error for bytes that were lost or changed, such as by a restore of the database. */
function createIncompleteError(file: FileRow, size: number): IntegrityError {
  return new IntegrityError(
    `The staged bytes of ${file.filename} were lost or changed: ${size} of ${file.byteSize} bytes were read. Discard the upload and ask for the file again.`,
    { details: { filename: file.filename } },
  )
}

/**
 * Builds the condition that the chunks of a file are complete: their number, and the sum of their
 * lengths.
 */
export function hasAllChunks(
  session: Session,
  file: { readonly id: string; readonly chunks: number; readonly byteSize: number },
): RawBuilder<boolean> {
  const count = sql`select count(*) from ${sql.table('chunks')} where file_id = ${file.id}`
  return sql<boolean>`(${count}) = ${sql.lit(file.chunks)} and (${sumChunkLengths(session, file)}) = ${sql.lit(file.byteSize)}`
}

/**
 * Builds the sum of the chunks' lengths. MySQL and MariaDB would read every byte again for a sum,
 * which took 43 % of the time of staging half a gigabyte. There the length of the last chunk is
 * read alone, because all others are full.
 */
function sumChunkLengths(
  session: Session,
  file: { readonly id: string; readonly chunks: number },
): RawBuilder<number> {
  const length = session.dialect === 'sqlite' ? sql`length(data)` : sql`octet_length(data)`
  const from = sql`from ${sql.table('chunks')} where file_id = ${file.id}`
  if (session.dialect === 'postgres' || session.dialect === 'sqlite')
    return sql<number>`select coalesce(sum(${length}), 0) ${from}`
  const last = file.chunks - 1
  return last < 0
    ? sql<number>`select 0`
    : sql<number>`select ${sql.lit(last * CHUNK_SIZE)} + ${length} ${from} and position = ${sql.lit(last)}`
}

/** Number of chunks that are deleted at once: 32 MiB. */
const DELETE_BATCH_CHUNKS = 64

/**
 * Deletes the bytes of a file that is done. Never throws: the sweep deletes what is left of them.
 */
export async function deleteChunksOfFile(
  session: Session,
  file: Pick<FileRow, 'id' | 'byteSize'>,
): Promise<void> {
  try {
    for (let from = 0; from * CHUNK_SIZE < file.byteSize; from += DELETE_BATCH_CHUNKS)
      await session.db
        .deleteFrom('chunks')
        .where('file_id', '=', file.id)
        .where('position', '>=', from)
        .where('position', '<', from + DELETE_BATCH_CHUNKS)
        .execute()
  } catch {
    return
  }
}

/**
 * Deletes a batch of chunks of files that are done or dropped. Returns the number of chunks
 * deleted.
 */
export async function deleteUnneededChunks(session: Session): Promise<number> {
  const { rows } = await sql<{ file_id: string; position: number }>`
    select c.file_id, c.position from ${sql.table('chunks')} c
    join ${sql.table('files')} f on f.id = c.file_id
    where f.state in ('dropped', 'done') limit ${sql.lit(DELETE_BATCH_CHUNKS)}`.execute(session.db)
  const byFile = Map.groupBy(rows, (row) => row.file_id)
  for (const [fileId, chunks] of byFile)
    await session.db
      .deleteFrom('chunks')
      .where('file_id', '=', fileId)
      .where(
        'position',
        'in',
        chunks.map((chunk) => chunk.position),
      )
      .execute()
  return rows.length
}
