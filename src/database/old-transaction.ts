import { sql } from 'kysely'
import type { Session } from './session.ts'

/** An open transaction of PostgreSQL that keeps vacuum from freeing rows. */
export interface OldTransaction {
  /** The id of its server process. */
  readonly pid: number
  /** Its `application_name`, which may be empty. */
  readonly application: string
  /** Milliseconds since it began. */
  readonly openFor: number
}

/**
 * Finds PostgreSQL's oldest transaction that vacuum waits for, if it is open for longer than
 * `milliseconds`.
 */
export async function findOldTransaction(
  session: Session,
  milliseconds: number,
): Promise<OldTransaction | null> {
  const { rows } = await sql<OldTransaction>`
    select pid, application_name as application, (extract(epoch from clock_timestamp() - xact_start) * 1000)::float8 as "openFor"
    from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and coalesce(backend_xmin, backend_xid) is not null
      and xact_start < clock_timestamp() - ${milliseconds} * interval '1 millisecond'
    order by xact_start limit 1`.execute(session.db)
  return rows[0] ?? null
}
