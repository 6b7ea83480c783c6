import { findAttachments } from '../attachments/attachment-rows.ts'
import { nowPlus } from '../database/expressions.ts'
import { appendDetails } from '../errors/message.ts'
import type { Leases } from '../jobs/leases.ts'
import { deleteChunksOfFile } from '../staging/chunks.ts'
import { findFiles, findFilesOfUploads, isUnattached, type FileRow } from '../staging/file-rows.ts'
import { finishFiles } from '../staging/file-transitions.ts'
import { uploadErrorDetails, type DelayedContext } from './context.ts'
import { hookRoundDelay, MAX_HOOK_ROUNDS, readHookRound } from './hook-rounds.ts'
import type { FileFailure } from './retry-schedule.ts'
import {
  findTarget,
  type MissingTarget,
  type UploadAttempt,
  type UploadTarget,
} from './upload-attempt.ts'
import type { UploadRow } from './upload-rows.ts'
import { deleteUploads } from './upload-transitions.ts'

/** An upload whose hooks run, and its target. */
interface HookedUpload extends UploadTarget {
  readonly context: DelayedContext
  readonly upload: UploadRow
}

/** One round of the hooks of an upload. */
interface HookRound extends HookedUpload {
  /** From 1. */
  readonly round: number
}

/** Runs a later round of hooks, of an upload that `claimHooks` has claimed. */
export async function runHookRound(
  context: DelayedContext,
  leases: Leases,
  upload: UploadRow,
): Promise<void> {
  const lease = leases.hold(upload.leaseToken ?? '')
  try {
    await runHooks(context, upload, await findTarget(context, upload))
  } finally {
    lease.stopRenewing()
  }
}

/**
 * Runs one round of hooks: `afterUpload` of each attached file whose hook has not returned yet,
 * then `afterUploadAll`; then it deletes the upload's row. Each hook runs at least once: one that
 * throws, or that ends its process, runs again in the next round. `triedIds`: files whose hook has
 * run in this round already. A hook never runs without a record: then the round only counts.
 */
export async function runHooks(
  context: DelayedContext,
  upload: UploadRow,
  target: UploadTarget | MissingTarget,
  triedIds: readonly string[] = [],
): Promise<void> {
  const round = readHookRound(upload)
  if ('error' in target) return skipHooks(context, upload, round, target.error)
  if (round > MAX_HOOK_ROUNDS) {
    context.log('error', 'The hooks ended their process in each round; they do not run again.', {
      ...uploadErrorDetails(upload),
      upload: upload.token,
    })
    return finishWithoutHooks(context, upload)
  }
  const current = { ...target, context, upload, round }
  const isLast = round === MAX_HOOK_ROUNDS
  let isTodo = false
  const files = await findFilesOfUploads(context.store.session, [upload.token])
  for (const file of files) {
    if (file.state !== 'attached') continue
    const isDone = !triedIds.includes(file.id) && (await runAfterUpload(current, file))
    if (isDone || isLast) await markDone(context, file)
    else isTodo = true
  }
  if (files.some(isUnattached))
    return releaseHookLease(context, upload, isTodo ? hookRoundDelay(round) : 0)
  if (!isTodo) isTodo = !(await runAfterUploadAll(current)) && !isLast
  if (isTodo) return releaseHookLease(context, upload, hookRoundDelay(round))
  await deleteFinishedUpload(context, upload)
}

/**
 * Runs `afterUpload` of a file that this attempt has attached. A file without the hook is done
 * already: only its chunks are deleted.
 */
export async function runFileHook(attempt: UploadAttempt, file: FileRow): Promise<void> {
  const { context, definition, upload } = attempt
  const { session } = context.store
  if (definition.hooks.afterUpload === undefined) {
    await context.touch(upload.lane.type, upload.lane.id)
    return deleteChunksOfFile(session, file)
  }
  const [attached] = await findFiles(session, [file.id])
  if (attached !== undefined && (await runAfterUpload({ ...attempt, round: 1 }, attached)))
    await markDone(context, attached)
}

/** Runs `errorUpload` of a file. `retryAt`: when the file is retried; null: it is not. */
export async function runErrorUpload(
  { context, definition, upload, record }: HookedUpload,
  { file, error }: FileFailure,
  retryAt: Date | null,
): Promise<void> {
  try {
    await definition.hooks.errorUpload?.(record, error, { upload, file, retryAt })
  } catch (thrown) {
    logHookError(context, upload, 'The errorUpload hook threw; the upload goes on.', thrown, file)
  }
}

/**
 * Counts a round whose record was not found. After the last one the files are done without hooks.
 */
async function skipHooks(
  context: DelayedContext,
  upload: UploadRow,
  round: number,
  error: Error,
): Promise<void> {
  logHookError(context, upload, `No hook could run: ${error.message}`, error)
  if (round < MAX_HOOK_ROUNDS) await releaseHookLease(context, upload, hookRoundDelay(round))
  else await finishWithoutHooks(context, upload)
}

async function finishWithoutHooks(context: DelayedContext, upload: UploadRow): Promise<void> {
  const files = await findFilesOfUploads(context.store.session, [upload.token])
  for (const file of files) if (file.state === 'attached') await markDone(context, file)
  if (files.some(isUnattached)) await releaseHookLease(context, upload, 0)
  else await deleteFinishedUpload(context, upload)
}

/** Returns true when the hook has returned. */
async function runAfterUpload(
  { context, definition, upload, record, round }: HookRound,
  file: FileRow,
): Promise<boolean> {
  const { lane } = upload
  if (definition.hooks.afterUpload === undefined) return true
  await context.touch(lane.type, lane.id)
  const rows = await findAttachments(context.store.session, lane.type, [lane.id], lane.name)
  const attachment = rows.find((row) => row.blob.key === file.blobKey) ?? null
  const payload = { upload, file, attachment, round }
  try {
    await definition.hooks.afterUpload(record, payload)
    return true
  } catch (error) {
    logHookError(context, upload, hookErrorMessage('afterUpload', round), error, file)
    return false
  }
}

/** Returns true when the hook has returned. */
async function runAfterUploadAll({
  context,
  definition,
  upload,
  record,
  round,
}: HookRound): Promise<boolean> {
  const payload = { upload, attachment: null, round }
  try {
    await definition.hooks.afterUploadAll?.(record, payload)
    return true
  } catch (error) {
    logHookError(context, upload, hookErrorMessage('afterUploadAll', round), error)
    return false
  }
}

/** The file needs no hook any more: its row is done, and its chunks are deleted. */
async function markDone({ store, expiresIn }: DelayedContext, file: FileRow): Promise<void> {
  await finishFiles(store.session, { ids: [file.id] }, expiresIn)
  await deleteChunksOfFile(store.session, file)
}

async function deleteFinishedUpload({ store }: DelayedContext, upload: UploadRow): Promise<void> {
  const fence = { by: 'lease', leaseToken: upload.leaseToken } as const
  await deleteUploads(store.session, [upload], fence)
}

/** Ends the lease; the next round is due after `delay` milliseconds. */
async function releaseHookLease(
  { store }: DelayedContext,
  upload: UploadRow,
  delay: number,
): Promise<void> {
  await store.session.db
    .updateTable('uploads')
    // The lease token stays, because it counts the rounds of a failed upload.
    .set({ lease_until: 0, run_at: nowPlus(store.dialect, delay) })
    .where('token', '=', upload.token)
    .where('lease_token', '=', upload.leaseToken)
    .execute()
}

function hookErrorMessage(hook: string, round: number): string {
  const next = round < MAX_HOOK_ROUNDS ? 'the hook runs again' : 'the hook does not run again'
  return `The ${hook} hook threw; the file stays attached, and ${next}.`
}

function logHookError(
  context: DelayedContext,
  upload: UploadRow,
  message: string,
  error: unknown,
  file?: FileRow,
): void {
  const details = uploadErrorDetails(upload, file?.filename)
  context.log('error', appendDetails(message, details), { ...details, upload: upload.token, error })
}
