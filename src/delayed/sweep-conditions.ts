import { sql, type RawBuilder } from 'kysely'
import type { Dialect } from '../database/database.ts'
import { nowPlus, now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import { hasFiles } from './upload-rows.ts'

// Conditions of the sweep. A dry run counts by them.

/**
 * Time that a file stays after it expired, because a transaction may be linking it at this moment.
 */
export const EXPIRY_GRACE_MS = 60_000

/** The condition that the worker of a running upload `u` is dead. */
export const isAbandoned = (dialect: Dialect): RawBuilder<boolean> =>
  sql<boolean>`u.lease_until <= ${now(dialect)}`

/**
 * The condition that a failed upload `u` was kept long enough, and that no hook of its attached
 * files is still to run.
 */
export function isPastRetention(dialect: Dialect, keepFor: number): RawBuilder<boolean> {
  const hasHooksToRun = sql<boolean>`exists (select 1 from ${sql.table('files')} f where f.upload_token = u.token and f.state = 'attached')`
  return sql<boolean>`(u.run_at <= ${nowPlus(dialect, -keepFor)} and ${isAbandoned(dialect)} and not ${hasHooksToRun})`
}

/** The condition that an upload `u` of this app is in a state and meets another condition. */
export const isUploadInState = (
  state: 'running' | 'failed',
  condition: RawBuilder<boolean>,
): RawBuilder<boolean> =>
  sql<boolean>`(u.state = ${sql.lit(state)} and u.token is not null and ${condition} and ${hasFiles})`

/**
 * The condition that the upload of a file `f` has no row any more: Rails destroyed the record, or
 * the upload failed and was kept long enough.
 */
export const isOrphanedFile: RawBuilder<boolean> = sql<boolean>`(f.upload_token is not null and f.state in ('staging', 'staged', 'failed', 'attached')
  and not exists (select 1 from ${sql.table('uploads')} u where u.token = f.upload_token))`

/** The condition that a file was not submitted in time. */
export const isExpiredFile = (dialect: Dialect): RawBuilder<boolean> =>
  sql<boolean>`(upload_token is null and state in ('staging', 'staged') and expires_at <= ${nowPlus(dialect, -EXPIRY_GRACE_MS)})`

/** Numbers of rows that a sweep would change now. */
export interface SweepCounts {
  /** Running uploads whose worker died: they would be due again, or fail. */
  readonly abandoned: number
  /** Failed uploads that were kept long enough: they would be deleted with their bytes. */
  readonly givenUp: number
  /** Files whose uploads are gone, such as those of records that Rails destroyed. */
  readonly orphaned: number
  /** Staged files that were not submitted in time. */
  readonly expired: number
  /** Files that have bytes and do not need them any more. */
  readonly emptied: number
}

/**
 * Counts what a sweep would do. `keepFor`: milliseconds that failed uploads are kept; null: without
 * end.
 */
export async function countSweepable(
  session: Session,
  keepFor: number | null,
): Promise<SweepCounts> {
  const { dialect } = session
  const counted = async (query: {
    execute(): Promise<readonly { readonly count: unknown }[]>
  }): Promise<number> => Number((await query.execute())[0]?.count ?? 0)
  const count = sql<string>`count(*)`.as('count')
  const uploads = (...given: Parameters<typeof isUploadInState>): Promise<number> =>
    counted(
      session.db
        .selectFrom('uploads as u')
        .where(isUploadInState(...given))
        .select(count),
    )
  return {
    abandoned: await uploads('running', isAbandoned(dialect)),
    givenUp: keepFor === null ? 0 : await uploads('failed', isPastRetention(dialect, keepFor)),
    orphaned: await counted(
      session.db.selectFrom('files as f').where(isOrphanedFile).select(count),
    ),
    expired: await counted(
      session.db.selectFrom('files').where(isExpiredFile(dialect)).select(count),
    ),
    emptied: await counted(
      session.db
        .selectFrom('files as f')
        .where('f.state', 'in', ['dropped', 'done'])
        .where(({ exists, selectFrom }) =>
          exists(selectFrom('chunks as c').select('c.file_id').whereRef('c.file_id', '=', 'f.id')),
        )
        .select(count),
    ),
  }
}
