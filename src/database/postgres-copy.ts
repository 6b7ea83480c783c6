import type pg from 'pg'
import { to as copyTo } from 'pg-copy-streams'
import { ConfigurationError, IntegrityError } from '../errors/errors.ts'
import type { PgClient } from './postgres-pool.ts'
import { quoteTable } from './quote-table.ts'
import { isUuid } from './uuid.ts'

/**
 * Reads chunks by COPY, which is five times as fast as any SELECT through `pg`. `from` is
 * inclusive, `to` exclusive. COPY takes no parameters, so only a UUID and whole numbers are written
 * into its text.
 */
export async function copyChunks(
  client: PgClient,
  table: string,
  fileId: string,
  from: number,
  to: number,
): Promise<Buffer[]> {
  if (!isUuid(fileId))
    throw new ConfigurationError(`${JSON.stringify(fileId)} is not the id of a staged file.`)
  const stream = (client as PgClient & pg.ClientBase).query(
    copyTo(
      `copy (select data from ${quoteTable(table)} where file_id = '${fileId}' and position >= ${Math.trunc(from)} and position < ${Math.trunc(to)} order by position) to stdout (format binary)`,
    ),
  )
  return parseCopy(stream, fileId)
}

const COPY_HEADER = 19

/**
 * Parses the binary COPY format: a header of 19 bytes and its extension, then tuples of one field,
 * then -1. Each field is copied out as it arrives, so that its bytes are not held twice.
 */
async function parseCopy(stream: AsyncIterable<Buffer>, fileId: string): Promise<Buffer[]> {
  const chunks: Buffer[] = []
  let rest: Buffer = Buffer.alloc(0)
  let skip = -1
  let field: Buffer | null = null
  let filled = 0
  for await (const part of stream) {
    let data = rest.length === 0 ? part : Buffer.concat([rest, part])
    rest = Buffer.alloc(0)
    while (data.length > 0) {
      if (field !== null) {
        const copied: number = data.copy(field, filled)
        filled += copied
        data = data.subarray(copied)
        if (filled < field.length) continue
        chunks.push(field)
        field = null
      } else if (skip < 0 && data.length >= COPY_HEADER)
        skip = COPY_HEADER + data.readInt32BE(COPY_HEADER - 4)
      else if (skip > 0) {
        const skipped = Math.min(skip, data.length)
        skip -= skipped
        data = data.subarray(skipped)
      } else if (skip === 0 && data.length >= 2 && data.readInt16BE() === -1) break
      else if (skip === 0 && data.length >= 6) {
        const length = data.readInt32BE(2)
        if (length < 1)
          throw new IntegrityError(
            `The staged file ${fileId} has a chunk without bytes: something else wrote it. Send the file again.`,
          )
        field = Buffer.allocUnsafe(length)
        filled = 0
        data = data.subarray(6)
      } else {
        rest = data
        break
      }
    }
  }
  return chunks
}
