import { sql } from 'kysely'
import { asText, railsAgo } from '../database/expressions.ts'
import { lockClause } from '../database/row-locks.ts'
import type { Session } from '../database/session.ts'
import { bindId, type Lane } from '../attachments/lane.ts'
import { deleteGemRowsById } from '../delayed/upload-transitions.ts'

/** A row that the Ruby gem wrote and that is not moved yet: it has no token. */
export interface GemRow {
  readonly id: string
  readonly lane: Lane
  /** Ids of attachments to remove, separated by commas. */
  readonly deletedIds: string
  /** Whether all attached files are removed. */
  readonly cleanBefore: boolean
  /** Length of `files` in characters; null: the row has no files. */
  readonly length: number | null
}

/** An attachment that the storage defines. */
export interface KnownAttachment {
  /** Name of the model. */
  readonly type: string
  /** Name of the attachment. */
  readonly name: string
}

function selectRowsToMove(session: Session, known: readonly KnownAttachment[], age: number) {
  const each = known.map(
    ({ type, name }) => sql`(uploadable_type = ${type} and attr_name = ${name})`,
  )
  return session.db
    .selectFrom('uploads')
    .where('token', 'is', null)
    .where('uploadable_id', 'is not', null)
    .where('created_at', '<=', railsAgo(session.dialect, age))
    .where(sql<boolean>`(${sql.join(each, sql` or `)})`)
}

/**
 * Counts the rows that the next sweep moves. `age` is in milliseconds: younger rows do not count.
 */
export async function countRowsToMove(
  session: Session,
  known: readonly KnownAttachment[],
  age: number,
): Promise<number> {
  if (known.length === 0) return 0
  const [row] = await selectRowsToMove(session, known, age)
    .select(sql<string>`count(*)`.as('count'))
    .execute()
  return Number(row?.count ?? 0)
}

/** Finds at most `limit` lanes that have rows older than `age` milliseconds, the oldest first. */
export async function findLanesToMove(
  session: Session,
  known: readonly KnownAttachment[],
  age: number,
  limit: number,
): Promise<Lane[]> {
  const rows = await selectRowsToMove(session, known, age)
    .select([
      'uploadable_type as type',
      asText(session.dialect, 'uploadable_id').as('id'),
      'attr_name as name',
      sql<number>`min(id)`.as('first'),
    ])
    .groupBy(['uploadable_type', 'uploadable_id', 'attr_name'])
    .orderBy('first')
    .limit(limit)
    .execute()
  return rows.map((row) => ({ type: String(row.type), id: row.id, name: String(row.name) }))
}

/**
 * Locks the rows of a lane that are older than `age` milliseconds and returns them, oldest first.
 * Rows that a Rails job has locked are left out.
 */
export async function lockGemRows(
  session: Session,
  lane: Lane,
  recordId: bigint | string,
  age: number,
): Promise<GemRow[]> {
  const { rows } = await sql<{
    id: string
    deleted_ids: string | null
    clean_before: unknown
    size: string | null
  }>`
    select ${asText(session.dialect, 'id')} as id, deleted_ids, clean_before,
      ${session.dialect === 'sqlite' ? sql`cast(length(files) as text)` : session.dialect === 'postgres' ? sql`char_length(files)::text` : sql`cast(char_length(files) as char)`} as size
    from ${sql.table('uploads')}
    where token is null and uploadable_type = ${lane.type} and uploadable_id = ${recordId} and attr_name = ${lane.name}
      and created_at <= ${railsAgo(session.dialect, age)}
    order by id ${lockClause(session.dialect, { skipLocked: true })}`.execute(session.db)
  return rows.map((row) => ({
    id: row.id,
    lane,
    deletedIds: row.deleted_ids ?? '',
    cleanBefore: row.clean_before === true || Number(row.clean_before) === 1,
    length: row.size === null ? null : Number(row.size),
  }))
}

/** Characters that one statement reads: a few megabytes, whatever the row's size. */
const TEXT_SLICE_LENGTH = 2 * 1024 ** 2

/** Yields the text of the column `files` in slices. */
export async function* readFilesColumn(session: Session, row: GemRow): AsyncGenerator<string> {
  for (let at = 1; at <= (row.length ?? 0); at += TEXT_SLICE_LENGTH) {
    const { rows } = await sql<{ part: string }>`
      select substr(files, ${sql.lit(at)}, ${sql.lit(TEXT_SLICE_LENGTH)}) as part from ${sql.table('uploads')} where id = ${BigInt(row.id)}`.execute(
      session.db,
    )
    yield rows[0]?.part ?? ''
  }
}

/**
 * Deletes the gem's rows for a record, or for its attachment `name`, because a newer change
 * replaces them. Rows that a Rails job has locked are left to the job.
 */
export async function deleteGemRows(
  session: Session,
  { type, id, name }: Pick<Lane, 'type' | 'id'> & { readonly name?: string },
): Promise<void> {
  const { dialect } = session
  const { rows } = await sql<{ id: string }>`
    select ${asText(dialect, 'id')} as id from ${sql.table('uploads')}
    where token is null and uploadable_type = ${type} and uploadable_id = ${bindId(id, session.recordId)}
      ${name === undefined ? sql`` : sql`and attr_name = ${name}`}
    order by id ${lockClause(dialect, { skipLocked: true })}`.execute(session.db)
  await deleteGemRowsById(
    session,
    rows.map((row) => row.id),
  )
}

/** Number of the gem's rows for one attachment. */
export interface GemRowCount {
  /** Model and attachment as the rows name them, such as 'User.photo'. */
  readonly attachment: string
  /** Number of rows that wait to be moved. */
  readonly waiting: number
}

/** Counts the gem's rows that wait to be moved, by attachment, also those of unknown models. */
export async function countGemRows(session: Session): Promise<GemRowCount[]> {
  const rows = await session.db
    .selectFrom('uploads')
    .select(['uploadable_type as type', 'attr_name as name', (e) => e.fn.countAll().as('count')])
    .where('token', 'is', null)
    .groupBy(['uploadable_type', 'attr_name'])
    .orderBy('uploadable_type')
    .orderBy('attr_name')
    .execute()
  return rows.map(({ type, name, count }) => ({
    attachment: `${type}.${name}`,
    waiting: Number(count),
  }))
}
