import { sql } from 'kysely'
import { lockClause } from '../database/row-locks.ts'
import { nowPlus, now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import { toStorableMessage } from '../errors/message.ts'
import { uuidv7 } from '../database/uuid.ts'

/** Writes a job in the transaction that needs it. */
export async function insertJob(
  session: Session,
  name: string,
  args: Readonly<Record<string, string>>,
): Promise<void> {
  await session.db
    .insertInto('jobs')
    .values({
      id: uuidv7(),
      name,
      arguments: JSON.stringify(args),
      run_at: now(session.dialect),
      key: null,
    })
    .execute()
}

/** A job that is claimed. */
export interface JobRow {
  readonly id: string
  readonly name: string
  readonly arguments: Readonly<Record<string, string>>
  readonly attempts: number
  readonly leaseToken: string
}

/** Which jobs to claim. */
export interface JobClaim {
  readonly names: readonly string[]
  readonly limit: number
  /** Milliseconds. */
  readonly leaseFor: number
  /** Only the job with this key. */
  readonly key?: string
  /** No deletions of objects of these services. */
  readonly excludedServices?: readonly string[]
}

/** The beginning of the arguments of an object's deletion, as JSON. */
const ofService = (service: string): string => `${JSON.stringify({ service }).slice(0, -1)},`

/** Claims jobs that are due, also of workers that died. Runs inside a transaction. */
export async function claimJobs(
  session: Session,
  { names, limit, leaseFor, key, excludedServices: notOf = [] }: JobClaim,
): Promise<JobRow[]> {
  const { dialect } = session
  const which = key === undefined ? sql`` : sql`and ${sql.ref('jobs.key')} = ${key}`
  const others = notOf.map((service) => {
    const start = ofService(service)
    return sql`and substr(arguments, 1, ${sql.lit([...start].length)}) <> ${start}`
  })
  const found = await sql<{ id: string; name: string; arguments: string; attempts: number }>`
    select id, name, arguments, attempts from ${sql.table('jobs')}
    where name in (${sql.join(names)}) ${which} ${sql.join(others, sql` `)}
      and ((state = 'pending' and run_at <= ${now(dialect)}) or (state = 'running' and lease_until <= ${now(dialect)}))
    order by run_at, id limit ${sql.lit(limit)} ${lockClause(dialect, { skipLocked: true })}`.execute(
    session.db,
  )
  const jobs: JobRow[] = []
  for (const row of found.rows) {
    const leaseToken = uuidv7()
    await session.db
      .updateTable('jobs')
      .set({
        state: 'running',
        lease_token: leaseToken,
        lease_until: nowPlus(dialect, leaseFor),
        attempts: sql`attempts + 1`,
      })
      .where('id', '=', row.id)
      .execute()
    jobs.push({
      id: row.id,
      name: row.name,
      arguments: JSON.parse(row.arguments) as Record<string, string>,
      attempts: Number(row.attempts) + 1,
      leaseToken,
    })
  }
  return jobs
}

/** How many jobs of one kind wait. */
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

/** Deletes a job that is done, unless another worker has it now. */
export async function finishJob(session: Session, job: JobRow): Promise<void> {
  await session.db
    .deleteFrom('jobs')
    .where('id', '=', job.id)
    .where('lease_token', '=', job.leaseToken)
    .execute()
}

/**
 * Postpones a job by `delay` milliseconds: after a failure, or with `error` null because its time
 * has not come (no attempt is counted).
 */
export async function postponeJob(
  session: Session,
  job: JobRow,
  delay: number,
  error: string | null,
): Promise<void> {
  await session.db
    .updateTable('jobs')
    .set({
      state: 'pending',
      lease_token: null,
      lease_until: 0,
      run_at: nowPlus(session.dialect, delay),
      ...(error === null ? { attempts: sql<number>`attempts - 1` } : {}),
      last_error: error === null ? null : toStorableMessage(error),
    })
    .where('id', '=', job.id)
    .where('lease_token', '=', job.leaseToken)
    .execute()
}
