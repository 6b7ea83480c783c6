import { sql } from 'kysely'
import { now, nowPlus } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import type { Log } from '../diagnostics/log.ts'
import type { JobEngine } from '../jobs/engine.ts'
import type { DelayedContext } from './context.ts'
import { hasFiles, isKnownAttachment } from './upload-rows.ts'

/** A queue that got a message within this time gets no second one. */
const REENQUEUE_AFTER_MS = 300_000

/** Enqueues an upload in the transaction that submits it; for queues in the same database. */
export async function enqueueUpload(
  session: Session,
  engine: JobEngine,
  token: string,
): Promise<void> {
  await markEnqueued(session, token)
  await enqueue(session, engine, token)
}

/**
 * Enqueues the due uploads that the app's queue does not know of: those that were submitted where
 * the queue could not take part, those that the end of another made due, and those that the queue
 * lost.
 */
async function enqueueDue(
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
    await enqueue(session, engine, token)
    await markEnqueued(session, token)
  }
}

/** Runs `enqueueDue` and logs its failure: the next sweep enqueues the uploads again. */
export async function enqueueDueOrLog(
  context: Pick<DelayedContext, 'store' | 'knownAttachments' | 'log'>,
  engine: JobEngine,
): Promise<void> {
  await enqueueDue(context, engine).catch((error: unknown) =>
    logNotEnqueued(context.log, engine, error),
  )
}

/**
 * Tells the app's queue, if there is one, that an upload has ended or is due again at `retryAt`:
 * enqueues it for then, and the uploads that its end made due. Logs failures.
 */
export async function enqueueNext(
  context: Pick<DelayedContext, 'store' | 'knownAttachments' | 'log' | 'engine'>,
  token: string,
  retryAt: Date | undefined,
): Promise<void> {
  const { engine, store, log } = context
  if (engine === null) return
  try {
    if (retryAt !== undefined) await enqueue(store.session, engine, token, retryAt)
    await enqueueDue(context, engine)
  } catch (error) {
    logNotEnqueued(log, engine, error)
  }
}

/**
 * Enqueues an upload again whose message came too early: the queue's clock is not the database's,
 * its lane was busy, or its service has no capacity. `findDelay` returns the milliseconds until the
 * attachment's service has capacity.
 */
export async function requeueEarly(
  { store }: Pick<DelayedContext, 'store'>,
  engine: JobEngine,
  token: string,
  findDelay: (attachment: DelayedContext['knownAttachments'][number]) => number,
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
    findDelay({ type: String(early.uploadable_type), name: String(early.attr_name) }),
  )
  if (wait > 0) await enqueue(session, engine, token, new Date(Date.now() + wait))
}

async function enqueue(
  session: Session,
  engine: JobEngine,
  token: string,
  runAt: Date | null = null,
): Promise<void> {
  await engine.enqueue({ kind: 'upload', id: token }, { executor: session.portableExecutor, runAt })
}

async function markEnqueued(session: Session, token: string): Promise<void> {
  await session.db
    .updateTable('uploads')
    .set({ enqueued_at: now(session.dialect) })
    .where('token', '=', token)
    .execute()
}

function logNotEnqueued(log: Log, engine: JobEngine, error: unknown): void {
  log(
    'warn',
    `${engine.name} did not take the messages for due uploads; the next sweep repeats them.`,
    { error },
  )
}
