import { sql } from 'kysely'
import { nowPlus, now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import type { Log } from '../diagnostics/log.ts'
import type { JobEngine } from '../jobs/engine.ts'
import type { DelayedContext } from './context.ts'
import { hasFiles, isKnownAttachment } from './upload-rows.ts'

/** A queue that was told within this time is not told again. */
const REENQUEUE_AFTER_MS = 300_000

/** In the transaction that submits, where the queue writes into the same database. */
export async function enqueueUpload(
  session: Session,
  engine: JobEngine,
  token: string,
): Promise<void> {
  await session.db
    .updateTable('uploads')
    .set({ enqueued_at: now(session.dialect) })
    .where('token', '=', token)
    .execute()
  await engine.enqueue(
    { kind: 'upload', id: token },
    { executor: session.portableExecutor, runAt: null },
  )
}

/**
 * Tells the app's queue of uploads that are due and that it does not know of: submitted where it could not take part,
 * freed by the end of another, or lost on its side.
 */
export async function enqueueDue(
  { store, knownAttachments: known }: Pick<DelayedContext, 'store' | 'knownAttachments'>,
  engine: JobEngine,
): Promise<void> {
  const { session, dialect } = store
  if (known.length === 0) return
  const due = await session.db
    .selectFrom('uploads as u')
    .select('u.token')
    .where('u.state', '=', 'pending')
    .where('u.token', 'is not', null)
    .where('u.run_at', '<=', now(dialect))
    .where('u.enqueued_at', '<=', nowPlus(dialect, -REENQUEUE_AFTER_MS))
    .where(isKnownAttachment(known))
    .where(hasFiles)
    .orderBy('u.id')
    .limit(1000)
    .execute()
  for (const { token } of due) {
    if (token === null) continue
    await engine.enqueue(
      { kind: 'upload', id: token },
      { executor: session.portableExecutor, runAt: null },
    )
    await session.db
      .updateTable('uploads')
      .set({ enqueued_at: now(dialect) })
      .where('token', '=', token)
      .execute()
  }
}

/** `enqueueDue`, with a failure logged: the next sweep enqueues the uploads again. */
export async function enqueueDueOrLog(
  context: Pick<DelayedContext, 'store' | 'knownAttachments' | 'log'>,
  engine: JobEngine,
): Promise<void> {
  await enqueueDue(context, engine).catch((error: unknown) =>
    logNotEnqueued(context.log, engine, error),
  )
}

/** Logs that the app's queue did not take messages. */
export function logNotEnqueued(log: Log, engine: JobEngine, error: unknown): void {
  log(
    'warn',
    `${engine.name} did not take the messages for due uploads; the next sweep repeats them.`,
    {
      error,
    },
  )
}

/**
 * A hint may come before its upload is due: the queue's clock is not the database's, the lane was busy, or its service has
 * no place for it. It comes again then. `waitFor`: milliseconds until its service has room.
 */
export async function requeueEarly(
  { store }: Pick<DelayedContext, 'store'>,
  engine: JobEngine,
  token: string,
  waitFor: (slot: { readonly type: string; readonly name: string }) => number,
): Promise<void> {
  const { session, dialect } = store
  const [early] = await session.db
    .selectFrom('uploads')
    .select(['uploadable_type', 'attr_name', sql<number>`run_at - ${now(dialect)}`.as('wait')])
    .where('token', '=', token)
    .where('state', '=', 'pending')
    .execute()
  if (early === undefined) return
  const wait = Math.max(
    Number(early.wait),
    waitFor({ type: String(early.uploadable_type), name: String(early.attr_name) }),
  )
  if (wait <= 0) return
  await engine.enqueue(
    { kind: 'upload', id: token },
    { executor: session.portableExecutor, runAt: new Date(Date.now() + wait) },
  )
}
