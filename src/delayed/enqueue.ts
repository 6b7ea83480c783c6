import { sql } from 'kysely'
import { now, nowPlus } from '../database/expressions.ts'
import { lockRows } from '../database/row-locks.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import type { JobEngine } from '../jobs/engine.ts'
import type { DelayedContext } from './context.ts'
import { hasFiles, isKnownAttachment } from './upload-rows.ts'

/** A queue that got a message within this time gets no second one. */
const REENQUEUE_AFTER_MS = 300_000

/** Uploads whose messages the caller must send. */
interface MarkedUploads {
  /** Oldest first. */
  readonly tokens: readonly string[]
  /** true: others may be due that were not looked at. */
  readonly mayHaveMore: boolean
}

const NOTHING_MARKED: MarkedUploads = { tokens: [], mayHaveMore: false }

/** Enqueues an upload in the transaction that submits it; for queues in the same database. */
export async function enqueueUpload(
  session: Session,
  engine: JobEngine,
  token: string,
): Promise<void> {
  await markEnqueued(session, [token])
  await engine.enqueue(
    { kind: 'upload', id: token },
    { executor: session.portableExecutor, runAt: null },
  )
}

/**
 * Marks due uploads that the app's queue does not know of as enqueued, at most `limit`: those that
 * were submitted where the queue could not take part, those that the end of another made due, and
 * those that the queue lost. Each upload is returned to one caller of all processes, which must
 * send its message or unmark it.
 */
export async function markDueUploads(
  store: Store,
  knownAttachments: DelayedContext['knownAttachments'],
  limit: number,
): Promise<MarkedUploads> {
  if (knownAttachments.length === 0) return NOTHING_MARKED
  const { dialect } = store
  const select = (session: Session) =>
    session.db
      .selectFrom('uploads as u')
      .select('u.token')
      .where('u.state', '=', 'pending')
      .where('u.token', 'is not', null)
      .where('u.run_at', '<=', now(dialect))
      .where('u.enqueued_at', '<=', nowPlus(dialect, -REENQUEUE_AFTER_MS))
      .orderBy('u.id')
  const rows = await select(store.session)
    .where(isKnownAttachment(knownAttachments))
    .where(hasFiles)
    .limit(limit)
    .execute()
  const found = rows.map((row) => String(row.token))
  if (found.length === 0) return NOTHING_MARKED
  return store.transact(async (session) => {
    const query = select(session).where('u.token', 'in', found)
    // Another process marks, claims or changes a locked row, and sends its message.
    const free = await lockRows(query, dialect, { skipLocked: true }).execute()
    const tokens = free.map((row) => String(row.token))
    await markEnqueued(session, tokens)
    return { tokens, mayHaveMore: tokens.length > 0 && found.length === limit }
  })
}

async function markEnqueued(session: Session, tokens: readonly string[]): Promise<void> {
  if (tokens.length === 0) return
  await session.db
    .updateTable('uploads')
    .set({ enqueued_at: now(session.dialect) })
    .where('token', 'in', tokens)
    .execute()
}

/** Forgets that uploads were enqueued, so that the next sweep sends their messages. */
export async function unmarkEnqueued(session: Session, tokens: readonly string[]): Promise<void> {
  await session.db
    .updateTable('uploads')
    .set({ enqueued_at: 0 })
    .where('token', 'in', tokens)
    .where('state', '=', 'pending')
    .execute()
}

/**
 * Finds an upload whose message came too early. Returns its attachment and the milliseconds until
 * it is due by the database's clock. null: it is not pending any more.
 */
export async function findPending(
  { dialect, db }: Session,
  token: string,
): Promise<{ readonly type: string; readonly name: string; readonly wait: number } | null> {
  const row = await db
    .selectFrom('uploads')
    .select([
      'uploadable_type as type',
      'attr_name as name',
      sql<number>`run_at - ${now(dialect)}`.as('wait'),
    ])
    .where('token', '=', token)
    .where('state', '=', 'pending')
    .executeTakeFirst()
  return row === undefined
    ? null
    : { type: String(row.type), name: String(row.name), wait: Number(row.wait) }
}
