import { sql } from 'kysely'
import { later, now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import { storedMessage } from '../message.ts'
import { uuidv7 } from '../uuid.ts'

export type JobName = 'purge' | 'delete-object'

/** Writes a job in the transaction that needs it. */
export async function insertJob(session: Session, name: JobName, args: Readonly<Record<string, string>>): Promise<void> {
  await session.db
    .insertInto('jobs')
    .values({ id: uuidv7(), name, arguments: JSON.stringify(args), run_at: now(session.dialect), key: null })
    .execute()
}

const INTENT_DELAY = 3_600_000
const objectKey = (key: string): string => `object:${key}`

/**
 * Commits to clean up an object before its first byte is sent: due an hour after the transfer's last progress. While it
 * is there the key is nobody else's. False: the key is taken by another intent.
 */
export async function reserveObject(session: Session, service: string, key: string): Promise<boolean> {
  const insert = session.db.insertInto('jobs').values({
    id: uuidv7(),
    name: 'delete-object',
    arguments: JSON.stringify({ service, key }),
    key: objectKey(key),
    run_at: later(session.dialect, INTENT_DELAY),
  })
  const result = await (
    session.dialect === 'mysql' || session.dialect === 'mariadb' ? insert.ignore() : insert.onConflict((c) => c.doNothing())
  ).executeTakeFirst()
  return Number(result.numInsertedOrUpdatedRows ?? 0) === 1
}

/** Puts the clean-up off while bytes still flow. False: the clean-up has begun, the transfer must stop. */
export async function renewObject(session: Session, key: string): Promise<boolean> {
  const result = await session.db
    .updateTable('jobs')
    .set({ run_at: later(session.dialect, INTENT_DELAY) })
    .where('key', '=', objectKey(key))
    .where('state', '=', 'pending')
    .executeTakeFirst()
  return Number(result.numUpdatedRows) === 1
}

const RENEW_EVERY = 300_000

/** Passes the bytes on and puts the clean-up of their object off meanwhile. `lost` makes the error when it has begun. */
export async function* renewing(
  session: Session,
  key: string,
  bytes: AsyncIterable<Uint8Array>,
  lost: () => Error,
): AsyncGenerator<Uint8Array> {
  let renewed = performance.now()
  for await (const chunk of bytes) {
    yield chunk
    if (performance.now() - renewed <= RENEW_EVERY) continue
    renewed = performance.now()
    if (!(await renewObject(session, key))) throw lost()
  }
}

/** In the transaction that inserts the blob. False: the clean-up has begun, the object can no longer be relied on. */
export async function keepObject(session: Session, key: string): Promise<boolean> {
  const result = await session.db.deleteFrom('jobs').where('key', '=', objectKey(key)).where('state', '=', 'pending').executeTakeFirst()
  return Number(result.numDeletedRows) === 1
}

/** The object is to go now: its blob's row goes in the same transaction. */
export async function deleteObjectLater(session: Session, service: string, key: string): Promise<void> {
  const insert = session.db.insertInto('jobs').values({
    id: uuidv7(),
    name: 'delete-object',
    arguments: JSON.stringify({ service, key }),
    key: objectKey(key),
    run_at: now(session.dialect),
  })
  if (session.dialect === 'mysql' || session.dialect === 'mariadb') await insert.ignore().execute()
  else await insert.onConflict((c) => c.doNothing()).execute()
}

/** An object that will not be attached is to go at once, not when its intent is due; also where the intent is gone. */
export async function abandonObject(session: Session, service: string, key: string): Promise<void> {
  await deleteObjectLater(session, service, key)
  await session.db
    .updateTable('jobs')
    .set({ run_at: now(session.dialect) })
    .where('key', '=', objectKey(key))
    .where('state', '=', 'pending')
    .execute()
}

export interface JobRow {
  readonly id: string
  readonly name: string
  readonly arguments: Readonly<Record<string, string>>
  readonly attempts: number
  readonly leaseToken: string
}

export interface JobClaim {
  readonly names: readonly string[]
  readonly limit: number
  /** Milliseconds. */
  readonly leaseFor: number
  /** The one `delete-object` of this object. */
  readonly object?: string
}

/** Takes due jobs; also those whose worker died. Runs inside a transaction. */
export async function claimJobs(session: Session, { names, limit, leaseFor, object }: JobClaim): Promise<JobRow[]> {
  const { dialect } = session
  const which = object === undefined ? sql`` : sql`and ${sql.ref('jobs.key')} = ${objectKey(object)}`
  const found = await sql<{ id: string; name: string; arguments: string; attempts: number }>`
    select id, name, arguments, attempts from ${sql.table('jobs')}
    where name in (${sql.join(names)}) ${which}
      and ((state = 'pending' and run_at <= ${now(dialect)}) or (state = 'running' and lease_until <= ${now(dialect)}))
    order by run_at, id limit ${sql.lit(limit)} ${dialect === 'sqlite' ? sql`` : sql`for update skip locked`}`.execute(session.db)
  const jobs: JobRow[] = []
  for (const row of found.rows) {
    const leaseToken = uuidv7()
    await session.db
      .updateTable('jobs')
      .set({ state: 'running', lease_token: leaseToken, lease_until: later(dialect, leaseFor), attempts: sql`attempts + 1` })
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

export interface JobCount {
  readonly name: string
  readonly waiting: number
  /** Of them, those that failed at least once. */
  readonly failing: number
}

export async function countJobs(session: Session): Promise<JobCount[]> {
  const rows = await session.db
    .selectFrom('jobs')
    .select(['name', (e) => e.fn.countAll().as('waiting'), (e) => e.fn.count('last_error').as('failing')])
    .groupBy('name')
    .orderBy('name')
    .execute()
  return rows.map((row) => ({ name: row.name, waiting: Number(row.waiting), failing: Number(row.failing) }))
}

export async function finishJob(session: Session, job: JobRow): Promise<void> {
  await session.db.deleteFrom('jobs').where('id', '=', job.id).where('lease_token', '=', job.leaseToken).execute()
}

/** Puts a job back: after a failure, or because its time has not come. */
export async function postponeJob(session: Session, job: JobRow, delay: number, error: string | null): Promise<void> {
  await session.db
    .updateTable('jobs')
    .set({
      state: 'pending',
      lease_token: null,
      lease_until: 0,
      run_at: later(session.dialect, delay),
      last_error: error === null ? null : storedMessage(error),
    })
    .where('id', '=', job.id)
    .where('lease_token', '=', job.leaseToken)
    .execute()
}
