import type { RawBuilder } from 'kysely'
import { nowPlus, now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import { uuidv7 } from '../database/uuid.ts'

/*
 * Whoever writes an object commits to its clean-up first, so that no crash leaves one that nobody knows of; whoever gives
 * it a blob takes the clean-up back.
 */

const INTENT_DELAY_MS = 3_600_000

/** By which the clean-up of an object is found; nobody else's job has it. */
const intentKey = (key: string): string => `object:${key}`

/** By which an object is deleted once more, beside the clean-up that has its own key. */
const purgeKey = (key: string): string => `purge:${key}`

/** False: there is one. */
async function insertIntent(
  session: Session,
  service: string,
  key: string,
  runAt: RawBuilder<number>,
  jobKey: string = intentKey(key),
): Promise<boolean> {
  const insert = session.db.insertInto('jobs').values({
    id: uuidv7(),
    name: 'delete-object',
    arguments: JSON.stringify({ service, key }),
    key: jobKey,
    run_at: runAt,
  })
  const isMysql = session.dialect === 'mysql' || session.dialect === 'mariadb'
  const result = await (
    isMysql ? insert.ignore() : insert.onConflict((c) => c.doNothing())
  ).executeTakeFirst()
  return Number(result.numInsertedOrUpdatedRows ?? 0) === 1
}

/**
 * Commits to clean up an object before its first byte is sent: due an hour after the transfer's last progress. While it
 * is there the key is nobody else's. False: the key is taken by another intent.
 */
export function reserveObject(session: Session, service: string, key: string): Promise<boolean> {
  return insertIntent(session, service, key, nowPlus(session.dialect, INTENT_DELAY_MS))
}

/** A transfer that began while its URL worked has ended by then. */
const LONGEST_TRANSFER_MS = 86_400_000

/**
 * In the transaction that announces a blob. A browser sends its object by itself: a service takes what comes while the URL
 * works, and tells nobody. The clean-up stays through attach and purge, and leaves alone what has a blob when it is due.
 */
export async function announceObject(
  session: Session,
  service: string,
  key: string,
  urlExpiresIn: number,
): Promise<void> {
  await insertIntent(
    session,
    service,
    key,
    nowPlus(session.dialect, urlExpiresIn + LONGEST_TRANSFER_MS),
  )
}

/** Puts the clean-up off while bytes still flow. False: the clean-up has begun, the transfer must stop. */
export async function renewObject(session: Session, key: string): Promise<boolean> {
  const result = await session.db
    .updateTable('jobs')
    .set({ run_at: nowPlus(session.dialect, INTENT_DELAY_MS) })
    .where('key', '=', intentKey(key))
    .where('state', '=', 'pending')
    .executeTakeFirst()
  return Number(result.numUpdatedRows) === 1
}

/**
 * After a transfer that failed: what was sent may still be taken, or was, and only the answer is lost. Its clean-up is due in
 * an hour, whatever became of the one before.
 */
export async function expectLateObject(
  session: Session,
  service: string,
  key: string,
): Promise<void> {
  if ((await reserveObject(session, service, key)) || (await renewObject(session, key))) return
  // It is being deleted right now.
  await insertIntent(
    session,
    service,
    key,
    nowPlus(session.dialect, INTENT_DELAY_MS),
    purgeKey(key),
  )
}

const RENEW_INTERVAL_MS = 300_000

/** Passes the bytes on and puts the clean-up of their object off meanwhile. `lost` makes the error when it has begun. */
export async function* renewDuringTransfer(
  session: Session,
  key: string,
  bytes: AsyncIterable<Uint8Array>,
  lost: () => Error,
): AsyncGenerator<Uint8Array> {
  let renewed = performance.now()
  for await (const chunk of bytes) {
    yield chunk
    if (performance.now() - renewed <= RENEW_INTERVAL_MS) continue
    renewed = performance.now()
    if (!(await renewObject(session, key))) throw lost()
  }
}

/** Puts the clean-up off until a call that nobody waits for any more has ended: until then it may still store its object. */
export function renewObjectUntil(session: Session, key: string, ended: Promise<unknown>): void {
  const timer = setInterval(
    () => void renewObject(session, key).catch(() => undefined),
    RENEW_INTERVAL_MS,
  ).unref()
  const end = (): void => clearInterval(timer)
  ended.then(end, end)
}

/** In the transaction that inserts the blob. False: the clean-up has begun, the object can no longer be relied on. */
export async function keepObject(session: Session, key: string): Promise<boolean> {
  const result = await session.db
    .deleteFrom('jobs')
    .where('key', '=', intentKey(key))
    .where('state', '=', 'pending')
    .executeTakeFirst()
  return Number(result.numDeletedRows) === 1
}

/**
 * The object is to go now: its blob's row goes in the same transaction. Returns the key of the job that deletes it; one that
 * was announced is deleted once more when its own clean-up is due.
 */
export async function deleteObjectLater(
  session: Session,
  service: string,
  key: string,
): Promise<string> {
  const runAt = now(session.dialect)
  if (await insertIntent(session, service, key, runAt)) return intentKey(key)
  const waiting = session.db
    .selectFrom('jobs')
    .select('id')
    .where('key', '=', intentKey(key))
    .where('run_at', '>', runAt)
  if ((await waiting.executeTakeFirst()) === undefined) return intentKey(key)
  await insertIntent(session, service, key, runAt, purgeKey(key))
  return purgeKey(key)
}

/** An object that will not be attached is to go at once, not when its intent is due; also where the intent is gone. */
export async function abandonObject(session: Session, service: string, key: string): Promise<void> {
  if (await insertIntent(session, service, key, now(session.dialect))) return
  await session.db
    .updateTable('jobs')
    .set({ run_at: now(session.dialect) })
    .where('key', '=', intentKey(key))
    .where('state', '=', 'pending')
    .execute()
}
