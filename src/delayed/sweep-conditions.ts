import { sql, type RawBuilder } from 'kysely'
import type { Dialect } from '../database/database.ts'
import { nowPlus, now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import { hasFiles } from './upload-rows.ts'

// What the sweep takes, as conditions that a dry run counts by.

/** After its time a file waits this long, so that nobody who is linking right now is disturbed. */
export const EXPIRY_GRACE_MS = 60_000

/** Of a running upload `u`: its worker died. */
export const isAbandoned = (dialect: Dialect): RawBuilder<boolean> =>
  sql<boolean>`u.lease_until <= ${now(dialect)}`

/** Of a failed upload `u`: it was kept long enough, and no hook is still to be told of what was attached. */
export function isPastRetention(dialect: Dialect, keepFor: number): RawBuilder<boolean> {
  const untold = sql<boolean>`exists (select 1 from ${sql.table('files')} f where f.upload_token = u.token and f.state = 'attached')`
  return sql<boolean>`(u.run_at <= ${nowPlus(dialect, -keepFor)} and ${isAbandoned(dialect)} and not ${untold})`
}

/** Of an upload `u` of this app. */
export const isUploadInState = (
  state: 'running' | 'failed',
  condition: RawBuilder<boolean>,
): RawBuilder<boolean> =>
  sql<boolean>`(u.state = ${sql.lit(state)} and u.token is not null and ${condition} and ${hasFiles})`

/** Of a file `f`: its upload's row is gone. Rails destroyed the record, or a failure was kept long enough. */
export const isOrphanedFile: RawBuilder<boolean> = sql<boolean>`(f.upload_token is not null and f.state in ('staging', 'staged', 'failed', 'attached')
  and not exists (select 1 from ${sql.table('uploads')} u where u.token = f.upload_token))`

export const isExpiredFile = (dialect: Dialect): RawBuilder<boolean> =>
  sql<boolean>`(upload_token is null and state in ('staging', 'staged') and expires_at <= ${nowPlus(dialect, -EXPIRY_GRACE_MS)})`

/** What a sweep would do now. */
export interface SweepCounts {
  /** Running uploads whose worker died: they are due again, or have failed. */
  readonly abandoned: number
  /** Failed uploads that were kept long enough: they are given up with their bytes. */
  readonly givenUp: number
  /** Files of records that were deleted past their hooks. */
  readonly orphaned: number
  /** Staged files that nobody submitted in time. */
  readonly expired: number
  /** Files whose bytes nobody needs any more and that still have some. */
  readonly emptied: number
}

/** `keepFor` as the sweep takes it. */
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
