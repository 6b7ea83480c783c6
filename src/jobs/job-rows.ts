import { sql, type RawBuilder } from 'kysely'
import { now } from '../database/expressions.ts'
import { lockClause } from '../database/row-locks.ts'
import type { Session } from '../database/session.ts'

/** A job that is due. */
export interface DueJob {
  readonly id: string
  readonly name: string
  readonly arguments: Readonly<Record<string, string>>
  /** How often it was claimed. */
  readonly attempts: number
}

/** A job that a worker has claimed. */
export interface JobRow extends DueJob {
  readonly leaseToken: string
}

/** Conditions of the jobs to claim. */
export interface JobClaim {
  readonly names: readonly string[]
  /** How many at most. */
  readonly limit: number
  /** Milliseconds. */
  readonly leaseFor: number
  /** Only the job with this key. Default: any job. */
  readonly key?: string
  /** No deletions of objects of these services. Default: of all services. */
  readonly excludedServices?: readonly string[]
}

/** The beginning of the arguments of an object's deletion, as JSON. */
const toArgumentsStart = (service: string): string => `${JSON.stringify({ service }).slice(0, -1)},`

/**
 * Reads jobs that are due, or whose lease has ended, and locks their rows until the transaction
 * ends. Rows that another transaction has locked are left out.
 */
export async function lockDueJobs(
  session: Session,
  { names, limit, key, excludedServices = [] }: JobClaim,
): Promise<DueJob[]> {
  const { dialect } = session
  const which = key === undefined ? sql`` : sql`and ${sql.ref('jobs.key')} = ${key}`
  const others = excludedServices.map((service) => {
    const start = toArgumentsStart(service)
    return sql`and substr(arguments, 1, ${sql.lit([...start].length)}) <> ${start}`
  })
  const { rows } = await sql<{ id: string; name: string; arguments: string; attempts: number }>`
    select id, name, arguments, attempts from ${sql.table('jobs')}
    where name in (${sql.join(names)}) ${which} ${sql.join(others, sql` `)}
      and ((state = 'pending' and run_at <= ${now(dialect)}) or (state = 'running' and lease_until <= ${now(dialect)}))
    order by run_at, id limit ${sql.lit(limit)} ${lockClause(dialect, { skipLocked: true })}`.execute(
    session.db,
  )
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    arguments: JSON.parse(row.arguments) as Record<string, string>,
    attempts: Number(row.attempts),
  }))
}

/**
 * Changes the time at which the job with this key is due. Returns false when there is none, or when
 * it is running.
 */
export async function rescheduleJob(
  session: Session,
  key: string,
  runAt: RawBuilder<number>,
): Promise<boolean> {
  const { numUpdatedRows } = await session.db
    .updateTable('jobs')
    .set({ run_at: runAt })
    .where('key', '=', key)
    .where('state', '=', 'pending')
    .executeTakeFirst()
  return Number(numUpdatedRows) === 1
}

/** Returns whether the job with this key waits for a later time than `time`. */
export async function isJobDueAfter(
  session: Session,
  key: string,
  time: RawBuilder<number>,
): Promise<boolean> {
  const job = await session.db
    .selectFrom('jobs')
    .select('id')
    .where('key', '=', key)
    .where('run_at', '>', time)
    .executeTakeFirst()
  return job !== undefined
}

/** Number of waiting jobs of one kind. */
export interface JobCount {
  readonly name: string
  readonly waiting: number
  /** How many of them have failed at least once. */
  readonly failing: number
}

/** Counts the jobs of each kind. */
export async function countJobs(session: Session): Promise<JobCount[]> {
  const rows = await session.db
    .selectFrom('jobs')
    .select([
      'name',
      (e) => e.fn.countAll().as('waiting'),
      (e) => e.fn.count('last_error').as('failing'),
    ])
    .groupBy('name')
    .orderBy('name')
    .execute()
  return rows.map((row) => ({
    name: row.name,
    waiting: Number(row.waiting),
    failing: Number(row.failing),
  }))
}
