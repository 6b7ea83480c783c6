import { sql } from 'kysely'
import { asText, railsAgo } from '../database/expressions.ts'
import { lockClause } from '../database/row-locks.ts'
import type { Session } from '../database/session.ts'
import { bindId, type Lane } from '../attachments/lane.ts'
import { deleteGemRowsById } from '../delayed/upload-transitions.ts'

/** A row that the Ruby gem wrote, and that was not moved yet: it has no token. */
export interface GemRow {
  readonly id: string
  readonly lane: Lane
  readonly deletedIds: string
  readonly cleanBefore: boolean
  /** Characters; null: no files. */
  readonly length: number | null
}

export interface KnownAttachment {
  readonly type: string
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

/** How many rows the next sweep moves. */
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

/** Lanes with rows to move, the oldest first. */
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

/** The lane's rows that are old enough, oldest first, locked; those that a Rails job holds are left out. */
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

/** Characters at once: a few megabytes, whatever the row's size. */
const TEXT_SLICE_LENGTH = 2 * 1024 ** 2

export async function* readFilesColumn(session: Session, row: GemRow): AsyncGenerator<string> {
  for (let at = 1; at <= (row.length ?? 0); at += TEXT_SLICE_LENGTH) {
    const { rows } = await sql<{ part: string }>`
      select substr(files, ${sql.lit(at)}, ${sql.lit(TEXT_SLICE_LENGTH)}) as part from ${sql.table('uploads')} where id = ${BigInt(row.id)}`.execute(
      session.db,
    )
    yield rows[0]?.part ?? ''
  }
}

/** Gives up what waits for a record, or for one of its attachments: something newer came. A row that a Rails job holds is its own. */
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

export interface GemRowCount {
  /** `Model.attachment`, as the rows name them. */
  readonly attachment: string
  readonly waiting: number
}

/** Rows of the gem's that wait to be moved, of all models, also of unknown ones. */
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
