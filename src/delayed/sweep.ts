import { sql } from 'kysely'
import { later, now } from '../database/expressions.ts'
import type { Store } from '../database/store.ts'
import { deleteChunks } from '../staging/chunks.ts'

const DAY = 86_400_000

/**
 * Puts right what a crash, a cancelled request or a deleted record left behind. Any worker runs it; two at once do no
 * harm, for every step is one conditional statement.
 */
export async function sweep(store: Store, attempts: number, failedKeepFor: number | null): Promise<void> {
  await endLeases(store, attempts)
  if (failedKeepFor !== null) await dropOldFailures(store, failedKeepFor)
  await settleOrphans(store)
  await dropExpired(store)
  while ((await store.transact((session) => deleteChunks(session))) > 0) await new Promise(setImmediate)
  await deleteFileRows(store)
}

/** Workers that died: their uploads are due again, or have failed when no attempt is left. */
async function endLeases({ session, dialect }: Store, attempts: number): Promise<void> {
  const ended = () => session.db.updateTable('uploads').where('state', '=', 'running').where('lease_until', '<=', now(dialect))
  const tokens = await session.db
    .selectFrom('uploads')
    .select('token')
    .where('state', '=', 'running')
    .where('lease_until', '<=', now(dialect))
    .where('attempts', '>=', attempts)
    .execute()
  if (tokens.length > 0) {
    const dead = tokens.map((row) => row.token)
    const message = `The worker died in each of ${attempts} attempts. Look at its log and memory, then retry or discard.`
    await session.db
      .updateTable('uploads')
      .set({ state: 'failed', lease_token: null, last_error: message })
      .where('token', 'in', dead)
      .where('state', '=', 'running')
      .where('lease_until', '<=', now(dialect))
      .execute()
    await session.db
      .updateTable('files')
      .set({ state: 'failed', last_error: message })
      .where('upload_token', 'in', dead.filter((token) => token !== null))
      .where('state', '=', 'staged')
      .where(sql<boolean>`exists (select 1 from ${sql.table('uploads')} u where u.token = upload_token and u.state = 'failed')`)
      .execute()
  }
  await ended().where('attempts', '<', attempts).set({ state: 'pending', lease_token: null, run_at: 0 }).execute()
}

async function dropOldFailures({ session, dialect }: Store, keepFor: number): Promise<void> {
  const old = await session.db
    .selectFrom('uploads')
    .select('token')
    .where('state', '=', 'failed')
    .where('token', 'is not', null)
    .where('run_at', '<=', later(dialect, -keepFor))
    .limit(100)
    .execute()
  for (const { token } of old) await session.db.deleteFrom('uploads').where('token', '=', token).where('state', '=', 'failed').execute()
}

/** Files whose upload row is gone: Rails destroyed the record, or a failure was kept long enough. */
async function settleOrphans({ session }: Store): Promise<void> {
  const orphaned = () =>
    session.db
      .updateTable('files')
      .where('upload_token', 'is not', null)
      .where(sql<boolean>`not exists (select 1 from ${sql.table('uploads')} u where u.token = upload_token)`)
  await orphaned().where('state', '=', 'attached').set({ state: 'told' }).execute()
  await orphaned().where('state', 'in', ['staged', 'staging', 'failed']).set({ state: 'dropped' }).execute()
}

/** A minute after their time, so that nobody who is linking right now is disturbed. */
async function dropExpired({ session, dialect }: Store): Promise<void> {
  await session.db
    .updateTable('files')
    .set({ state: 'dropped' })
    .where('upload_token', 'is', null)
    .where('state', 'in', ['staging', 'staged'])
    .where('expires_at', '<=', later(dialect, -60_000))
    .execute()
}

async function deleteFileRows({ session, dialect }: Store): Promise<void> {
  await session.db
    .deleteFrom('files')
    .where('state', 'in', ['told', 'dropped'])
    .where((e) => e.or([e('expires_at', '<=', now(dialect)), e.and([e('state', '=', 'dropped'), e('upload_token', 'is', null)])]))
    .where(sql<boolean>`not exists (select 1 from ${sql.table('chunks')} c where c.file_id = id)`)
    .execute()
  await session.db.deleteFrom('workers').where('seen_at', '<=', later(dialect, -DAY)).execute()
}
