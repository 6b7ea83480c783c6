import { sql } from 'kysely'
import { FULL_UNICODE_CHARSETS } from '../database/migrations/utf8mb4.ts'
import type { Session } from '../database/session.ts'
import { truncateFilename } from './filename.ts'

/** Reads what a column of the blobs can hold. `charset` is null when it holds every character. */
async function readColumnLimits(
  session: Session,
  name: 'filename' | 'key' | 'metadata',
): Promise<{ charset: string | null; length: number }> {
  const column = (await session.liveColumns()).get(`${session.tables.blobs}.${name}`)
  const charset = column?.charset
  return {
    charset: charset === undefined || FULL_UNICODE_CHARSETS.includes(charset) ? null : charset,
    length: column?.length ?? Infinity,
  }
}

/**
 * Makes a filename that its column can hold: old tables of Rails on MySQL are often in utf8mb3 or
 * latin1. A character that the column's character set lacks becomes `_`, and a name that is longer
 * than the column is cut. Calls `warn` when the name had to change.
 */
export async function toStorableFilename(
  session: Session,
  filename: string,
  warn: (message: string) => void,
): Promise<string> {
  const { charset, length } = await readColumnLimits(session, 'filename')
  const stored = truncateFilename(
    charset === null ? filename : await replaceUnstorable(session, charset, filename),
    length,
  )
  if (stored !== filename)
    warn(
      `${filename} is stored as ${stored}, because its column cannot hold the name (${charset ?? `${length} characters`}). See "Old character sets" in docs/databases.md.`,
    )
  return stored
}

/**
 * Makes a key that its column can hold. A prefix or name that the app chose may have any
 * characters.
 */
export async function toStorableKey(session: Session, key: string): Promise<string> {
  const { charset } = await readColumnLimits(session, 'key')
  return charset === null ? key : replaceUnstorable(session, charset, key)
}

/**
 * Writes JSON that the metadata column can hold: with escapes when it cannot hold every character.
 */
export async function toStorableJson(session: Session, value: object): Promise<string> {
  const { charset } = await readColumnLimits(session, 'metadata')
  const json = JSON.stringify(value)
  if (charset === null) return json
  return json.replaceAll(
    /[^\0-\x7f]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Asks the database to convert the text, because only it knows its character sets. */
async function replaceUnstorable(session: Session, charset: string, text: string): Promise<string> {
  if (/^[\0-\x7f]*$/.test(text)) return text
  const { rows } = await sql<{
    held: string
  }>`select convert(convert(${text} using ${sql.raw(charset)}) using utf8mb4) as held`.execute(
    session.db,
  )
  const held = [...(rows[0]?.held ?? '')]
  const characters = [...text]
  // Each character that is lacking came back as one question mark.
  if (held.length !== characters.length) return text.replaceAll(/[^\0-\x7f]/gu, '_')
  return characters
    .map((character, index) => (held[index] === character ? character : '_'))
    .join('')
}
