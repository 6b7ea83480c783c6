import type { RawBuilder } from 'kysely'
import { now, nowPlus } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import { isJobDueAfter, rescheduleJob } from '../jobs/job-rows.ts'
import { cancelJob, insertKeyedJob } from '../jobs/job-transitions.ts'
import { waitForAbandonedCall } from '../services/run-with-limit.ts'

/*
 * An intent is the job that deletes an object. It is committed before the object is written, so
 * that no crash leaves an object that nothing in the database names. The transaction that inserts
 * the object's blob deletes the intent.
 */

/** An intent is due this long after the last progress of its transfer. */
const INTENT_DELAY_MS = 3_600_000

/** A transfer that began while its URL was valid has ended after this time. */
const LONGEST_TRANSFER_MS = 86_400_000

/** A running transfer puts its intent off this often. */
const RENEW_INTERVAL_MS = 300_000

/** Returns the key of the job that is an object's intent. No other job has it. */
const intentKey = (key: string): string => `object:${key}`

/** Name of the job that deletes an object. Its arguments are `service` and `key`. */
export const DELETE_OBJECT_JOB = 'delete-object'

/** Returns the key of a second job that deletes an object, while its intent stays. */
const purgeKey = (key: string): string => `purge:${key}`

/** Returns false when a job with this key is there already. */
function insertIntent(
  session: Session,
  service: string,
  key: string,
  runAt: RawBuilder<number>,
  jobKey: string = intentKey(key),
): Promise<boolean> {
  const job = { name: DELETE_OBJECT_JOB, args: { service, key } }
  return insertKeyedJob(session, job, { key: jobKey, runAt })
}

/**
 * Reserves an object's key before its first byte is sent: the object is deleted an hour after the
 * transfer's last progress, unless `keepObject` is called. Returns false when another intent has
 * the key.
 */
export function reserveObject(session: Session, service: string, key: string): Promise<boolean> {
  return insertIntent(session, service, key, nowPlus(session.dialect, INTENT_DELAY_MS))
}

/**
 * Adds the intent of an object that a browser uploads by itself, in the transaction that inserts
 * its blob. The service accepts the bytes as long as the URL is valid, and reports nothing. So this
 * intent stays through attach and purge; when it is due, it deletes the object only if no blob has
 * its key.
 */
export async function addIntent(
  session: Session,
  service: string,
  key: string,
  urlExpiresIn: number,
): Promise<void> {
  const runAt = nowPlus(session.dialect, urlExpiresIn + LONGEST_TRANSFER_MS)
  await insertIntent(session, service, key, runAt)
}

/**
 * Puts an intent off while bytes still flow. Returns false when the deletion has begun: the
 * transfer must stop.
 */
export function renewObject(session: Session, key: string): Promise<boolean> {
  return rescheduleJob(session, intentKey(key), nowPlus(session.dialect, INTENT_DELAY_MS))
}

/**
 * Passes a transfer's bytes on and puts the object's intent off meanwhile. Throws the error that
 * `createLostError` makes when the deletion has begun.
 */
export async function* renewDuringTransfer(
  session: Session,
  key: string,
  bytes: AsyncIterable<Uint8Array>,
  createLostError: () => Error,
): AsyncGenerator<Uint8Array> {
  let renewedAt = performance.now()
  for await (const chunk of bytes) {
    yield chunk
    if (performance.now() - renewedAt <= RENEW_INTERVAL_MS) continue
    renewedAt = performance.now()
    if (!(await renewObject(session, key))) throw createLostError()
  }
}

/**
 * Makes sure that the object of a failed transfer is deleted. The service may still store it, or
 * has stored it and only the response was lost. The deletion is due in an hour, and is put off
 * until the service has ended a call that was abandoned. Never rejects: `error` is what the caller
 * throws.
 */
export async function cleanUpFailedTransfer(
  session: Session,
  service: string,
  key: string,
  error: unknown,
): Promise<void> {
  await ensureIntent(session, service, key).catch(() => undefined)
  const timer = setInterval(
    () => void renewObject(session, key).catch(() => undefined),
    RENEW_INTERVAL_MS,
  ).unref()
  void waitForAbandonedCall(error).then(() => clearInterval(timer))
}

async function ensureIntent(session: Session, service: string, key: string): Promise<void> {
  if ((await reserveObject(session, service, key)) || (await renewObject(session, key))) return
  // The intent is running right now, and may have deleted already.
  const runAt = nowPlus(session.dialect, INTENT_DELAY_MS)
  await insertIntent(session, service, key, runAt, purgeKey(key))
}

/**
 * Deletes an object's intent, in the transaction that inserts its blob. Returns false when the
 * deletion has begun: the object may be gone.
 */
export function keepObject(session: Session, key: string): Promise<boolean> {
  return cancelJob(session, intentKey(key))
}

/**
 * Adds a job that deletes an object now, in the transaction that deletes its blob. Returns the
 * job's key. An announced object is deleted once more when its own intent is due.
 */
export async function deleteObjectLater(
  session: Session,
  service: string,
  key: string,
): Promise<string> {
  const runAt = now(session.dialect)
  if (await insertIntent(session, service, key, runAt)) return intentKey(key)
  if (!(await isJobDueAfter(session, intentKey(key), runAt))) return intentKey(key)
  await insertIntent(session, service, key, runAt, purgeKey(key))
  return purgeKey(key)
}

/**
 * Deletes an object that will not be attached at once, not when its intent is due. The intent may
 * be missing.
 */
export async function abandonObject(session: Session, service: string, key: string): Promise<void> {
  const runAt = now(session.dialect)
  if (!(await insertIntent(session, service, key, runAt)))
    await rescheduleJob(session, intentKey(key), runAt)
}
