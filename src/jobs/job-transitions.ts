import { sql, type RawBuilder } from 'kysely'
import { now, nowPlus } from '../database/expressions.ts'
import type { JobState } from '../database/schema.ts'
import type { Session } from '../database/session.ts'
import { isInState, type Transitions } from '../database/transitions.ts'
import { uuidv7 } from '../database/uuid.ts'
import { toStorableMessage } from '../errors/message.ts'
import { lockDueJobs, type JobClaim, type JobRow } from './job-rows.ts'

const transitions = {
  insertJob: { from: [], to: 'pending', fence: 'new id' },
  insertKeyedJob: { from: [], to: 'pending', fence: 'unique key' },
  claimJobs: {
    from: ['pending', 'running'],
    to: 'running',
    fence: 'row lock, it is due, or its lease has ended',
  },
  postponeJob: { from: ['running'], to: 'pending', fence: 'lease' },
  retryJob: { from: ['running'], to: 'pending', fence: 'lease' },
  finishJob: { from: ['running'], to: null, fence: 'lease' },
  cancelJob: { from: ['pending'], to: null, fence: 'state' },
} as const satisfies Transitions<JobState>

/**
 * All changes of a job's state, by the function below that makes each. No other module writes the
 * state, or inserts or deletes a row. A test compares the table with the diagram in
 * docs/how-it-works.md.
 */
export const JOB_TRANSITIONS: Transitions<JobState> = transitions

/** Name and arguments of a job. */
export interface JobValues {
  /** The name of its `JobDefinition`. */
  readonly name: string
  /** `service`: the service that the job calls. No job of a busy service is claimed. */
  readonly args: Readonly<Record<string, string>>
}

function insertPendingJob(
  session: Session,
  { name, args: { service, ...args } }: JobValues,
  { key, runAt }: { readonly key: string | null; readonly runAt: RawBuilder<number> },
) {
  return session.db.insertInto('jobs').values({
    id: uuidv7(),
    name,
    // The service comes first: claims leave jobs out by the beginning of the text.
    arguments: JSON.stringify({ service, ...args }),
    state: transitions.insertJob.to,
    run_at: runAt,
    key,
  })
}

/** Adds a job that is due at once, in the transaction that needs it. */
export async function insertJob(session: Session, job: JobValues): Promise<void> {
  await insertPendingJob(session, job, { key: null, runAt: now(session.dialect) }).execute()
}

/** Adds a job that is due at `runAt`, unless a job has its key. Returns whether it was added. */
export async function insertKeyedJob(
  session: Session,
  job: JobValues,
  due: { readonly key: string; readonly runAt: RawBuilder<number> },
): Promise<boolean> {
  const insert = insertPendingJob(session, job, due)
  const isMysql = session.dialect === 'mysql' || session.dialect === 'mariadb'
  const result = await (
    isMysql ? insert.ignore() : insert.onConflict((c) => c.doNothing())
  ).executeTakeFirst()
  return Number(result.numInsertedOrUpdatedRows ?? 0) === 1
}

/**
 * Claims jobs that are due, and jobs whose worker died. Each gets a lease of its own. Call it in a
 * transaction.
 */
export async function claimJobs(session: Session, claim: JobClaim): Promise<JobRow[]> {
  const { from, to } = transitions.claimJobs
  const jobs: JobRow[] = []
  for (const row of await lockDueJobs(session, claim)) {
    const leaseToken = uuidv7()
    await session.db
      .updateTable('jobs')
      .set({
        state: to,
        lease_token: leaseToken,
        lease_until: nowPlus(session.dialect, claim.leaseFor),
        attempts: sql`attempts + 1`,
      })
      .where('id', '=', row.id)
      .where(isInState(from))
      .execute()
    jobs.push({ ...row, attempts: row.attempts + 1, leaseToken })
  }
  return jobs
}

/** An update that ends the lease of a job: it is due again in `delay` milliseconds. */
function updateHeldJob(
  session: Session,
  { id, leaseToken }: JobRow,
  { from, to }: { readonly from: readonly JobState[]; readonly to: JobState },
  delay: number,
) {
  return session.db
    .updateTable('jobs')
    .set({
      state: to,
      lease_token: null,
      lease_until: 0,
      run_at: nowPlus(session.dialect, delay),
    })
    .where('id', '=', id)
    .where('lease_token', '=', leaseToken)
    .where(isInState(from))
}

/**
 * Puts a job off by `delay` milliseconds, because its time has not come: the attempt that its claim
 * counted is taken back.
 */
export async function postponeJob(session: Session, job: JobRow, delay: number): Promise<void> {
  await updateHeldJob(session, job, transitions.postponeJob, delay)
    .set({ attempts: sql<number>`attempts - 1`, last_error: null })
    .execute()
}

/** Runs a job that failed again in `delay` milliseconds. `error`: the error's message. */
export async function retryJob(
  session: Session,
  job: JobRow,
  delay: number,
  error: string,
): Promise<void> {
  await updateHeldJob(session, job, transitions.retryJob, delay)
    .set({ last_error: toStorableMessage(error) })
    .execute()
}

/** Deletes a job that is done, unless another worker has it now. */
export async function finishJob(session: Session, { id, leaseToken }: JobRow): Promise<void> {
  await session.db
    .deleteFrom('jobs')
    .where('id', '=', id)
    .where('lease_token', '=', leaseToken)
    .where(isInState(transitions.finishJob.from))
    .execute()
}

/** Deletes the job with this key. Returns false when there is none, or when it is running. */
export async function cancelJob(session: Session, key: string): Promise<boolean> {
  const { numDeletedRows } = await session.db
    .deleteFrom('jobs')
    .where('key', '=', key)
    .where(isInState(transitions.cancelJob.from))
    .executeTakeFirst()
  return Number(numDeletedRows) === 1
}
