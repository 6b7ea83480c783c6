import { sweepTemporaryFolders } from '../blobs/sweep-temporary-folders.ts'
import { lockRows } from '../database/row-locks.ts'
import { now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import { ServiceError, type ActiveStorageError } from '../errors/errors.ts'
import { deleteDeadWorkers } from '../jobs/worker-rows.ts'
import { deleteUnneededChunks } from '../staging/chunks.ts'
import type { Log } from '../diagnostics/log.ts'
import { uploadErrorDetails } from './context.ts'
import {
  isExpiredFile,
  isUploadInState,
  isPastRetention,
  isAbandoned,
  isOrphanedFile,
  EXPIRY_GRACE_MS,
} from './sweep-conditions.ts'
import { fetchUploads, selectUploads, type UploadRow } from './upload-rows.ts'
import { wakeLane } from './wake-lane.ts'
import { reclaimUploads, failAbandonedUploads, deleteUploads } from './upload-transitions.ts'
import {
  failFiles,
  finishFiles,
  dropLinkedFiles,
  dropExpiredFiles,
  deleteFiles,
} from '../staging/file-transitions.ts'

/** Rows per transaction. */
const SWEEP_BATCH_SIZE = 500

/** Options of `sweep`. */
export interface SweepOptions {
  /** Attempts until an upload whose workers die fails. */
  readonly attempts: number
  /** Milliseconds that failed uploads are kept; null: without end. */
  readonly keepFor: number | null
  readonly log: Log
  /** Leaves bytes to the next sweep when it aborts. */
  readonly stopping?: AbortSignal | undefined
}

/** Failures that only the sweep knows of. */
export interface SweepResult {
  /** One error for each upload that it marked as failed. */
  readonly failed: readonly ActiveStorageError[]
}

/**
 * Finishes what a crash, a cancelled request or a deleted record left behind. Any worker runs it,
 * and two may run at once. It looks without locks, takes only rows that no open transaction holds,
 * and looks again before it writes.
 */
export async function sweep(
  store: Store,
  { attempts, keepFor, log, stopping }: SweepOptions,
): Promise<SweepResult> {
  const failed = await endAbandonedLeases(store, attempts, log)
  if (keepFor !== null) await dropOldFailures(store, keepFor, log)
  await finishOrphans(store)
  await dropExpired(store)
  while (
    stopping?.aborted !== true &&
    (await store.transact((session) => deleteUnneededChunks(session))) > 0
  )
    await new Promise(setImmediate)
  await deleteFileRows(store)
  await deleteDeadWorkers(store.session)
  await sweepTemporaryFolders()
  return { failed }
}

/**
 * Makes the uploads of dead workers due again, or failed if no attempt is left. Returns an error
 * for each that failed.
 */
async function endAbandonedLeases(
  store: Store,
  attempts: number,
  log: Log,
): Promise<ActiveStorageError[]> {
  const { dialect } = store
  const message = `The worker died in each of ${attempts} attempts. Look at its log and memory, then retry or discard.`
  // By token, because a transaction may run twice.
  const failed = new Map<string, UploadRow>()
  await repeatBatches(store, async (session) => {
    const ended = await lockFreeUploads(session, 'running', isAbandoned(dialect))
    if (ended.length === 0) return 0
    const rows = await fetchUploads(selectUploads(session).where('u.token', 'in', ended))
    const tokens = (dead: boolean): string[] =>
      rows.flatMap((row) => (row.attempts >= attempts === dead ? [row.token] : []))
    const [dead, alive] = [tokens(true), tokens(false)]
    await reclaimUploads(session, alive)
    await failAbandonedUploads(session, dead, message)
    if (dead.length > 0)
      await failFiles(session, { uploadTokens: dead }, { lastError: message, publicError: null })
    for (const row of rows) if (dead.includes(row.token)) failed.set(row.token, row)
    return rows.length
  })
  for (const { lane } of failed.values()) await wakeLane(store.session, lane)
  return [...failed.values()].map((upload) => {
    const error = new ServiceError(message, { details: uploadErrorDetails(upload) })
    log('error', message, {
      ...error.details,
      upload: upload.token,
      attempt: upload.attempts,
      error,
    })
    return error
  })
}

/** Deletes failed uploads that were kept long enough. `finishOrphans` drops their files. */
async function dropOldFailures(store: Store, keepFor: number, log: Log): Promise<void> {
  const over = isPastRetention(store.dialect, keepFor)
  // By token, because a transaction may run twice.
  const gone = new Map<string, UploadRow>()
  await repeatBatches(store, async (session) => {
    const tokens = await lockFreeUploads(session, 'failed', over)
    if (tokens.length === 0) return 0
    const uploads = await fetchUploads(selectUploads(session).where('u.token', 'in', tokens))
    await deleteUploads(session, uploads, { by: 'age', state: 'failed', milliseconds: keepFor })
    for (const upload of uploads) gone.set(upload.token, upload)
    return tokens.length
  })
  for (const upload of gone.values())
    log('warn', 'A failed upload was deleted with its bytes, because failed.keepFor is over.', {
      ...uploadErrorDetails(upload),
      upload: upload.token,
    })
}

/** Locks uploads that meet a condition and that no transaction holds. Returns their tokens. */
async function lockFreeUploads(
  session: Session,
  ...given: Parameters<typeof isUploadInState>
): Promise<string[]> {
  let query = session.db
    .selectFrom('uploads as u')
    .where(isUploadInState(...given))
    .select('u.token')
    .limit(SWEEP_BATCH_SIZE)
  query = lockRows(query, session.dialect, { skipLocked: true })
  return (await query.execute()).map((row) => String(row.token))
}

/** Finishes the files of uploads whose rows are gone. */
async function finishOrphans(store: Store): Promise<void> {
  await forEachFreeFile(
    store,
    (session) =>
      session.db
        .selectFrom('files as f')
        .where(isOrphanedFile)
        .select('f.id')
        .limit(SWEEP_BATCH_SIZE)
        .execute(),
    async (session, ids) => {
      await finishFiles(session, { ids })
      await dropLinkedFiles(session, { ids }, null)
    },
  )
}

/** Drops staged files that were not submitted in time. */
async function dropExpired(store: Store): Promise<void> {
  const expired = isExpiredFile(store.dialect)
  await forEachFreeFile(
    store,
    (session) =>
      session.db.selectFrom('files').select('id').where(expired).limit(SWEEP_BATCH_SIZE).execute(),
    async (session, ids) => {
      await dropExpiredFiles(session, ids, EXPIRY_GRACE_MS)
    },
  )
}

/**
 * Deletes the rows of files that are over and have no bytes left. The rows of an upload stay as
 * long as it does, because its hooks need them.
 */
async function deleteFileRows(store: Store): Promise<void> {
  const { dialect } = store
  await forEachFreeFile(
    store,
    (session) =>
      session.db
        .selectFrom('files as f')
        .leftJoin('chunks as c', 'c.file_id', 'f.id')
        .leftJoin('uploads as u', 'u.token', 'f.upload_token')
        .select('f.id')
        .where('c.file_id', 'is', null)
        .where('u.token', 'is', null)
        .where('f.state', 'in', ['done', 'dropped'])
        .where((e) =>
          e.or([
            e('f.expires_at', '<=', now(dialect)),
            e.and([e('f.state', '=', 'dropped'), e('f.upload_token', 'is', null)]),
          ]),
        )
        .limit(SWEEP_BATCH_SIZE)
        .execute(),
    deleteFiles,
  )
}

/**
 * Finds files without locks, then locks the free ones by their ids: a locking join or range would
 * wait for rows that it only passes.
 */
async function forEachFreeFile(
  store: Store,
  find: (session: Session) => Promise<readonly { readonly id: string }[]>,
  apply: (session: Session, ids: readonly string[]) => Promise<void>,
): Promise<void> {
  await repeatBatches(store, async (session) => {
    const found = (await find(session)).map((row) => row.id)
    if (found.length === 0) return 0
    let query = session.db.selectFrom('files').select('id').where('id', 'in', found)
    query = lockRows(query, session.dialect, { skipLocked: true })
    const ids = (await query.execute()).map((row) => row.id)
    if (ids.length > 0) await apply(session, ids)
    return ids.length
  })
}

/** Runs transactions until one takes less than a whole batch. */
async function repeatBatches(
  store: Store,
  run: (session: Session) => Promise<number>,
): Promise<void> {
  while ((await store.transact(run)) === SWEEP_BATCH_SIZE) await new Promise(setImmediate)
}
