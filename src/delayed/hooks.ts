import { findAttachments } from '../attachments/attachment-rows.ts'
import { nowPlus } from '../database/expressions.ts'
import { deleteChunksOfFile } from '../staging/chunks.ts'
import { findFilesOfUploads, type FileRow } from '../staging/file-rows.ts'
import type { DelayedContext, DelayedDefinition } from './context.ts'
import { readHookRound, MAX_HOOK_ROUNDS } from './hook-rounds.ts'
import type { UploadRow } from './upload-rows.ts'
import { deleteUploads } from './upload-transitions.ts'
import { finishFiles } from '../staging/file-transitions.ts'

const HOOK_ROUND_DELAY_MS = 5_000

/**
 * Tells the app of what was attached: `afterUpload` for each file that was not told yet, then `afterUploadAll`, then the
 * upload's row goes. At least once each: a hook that throws, or a process that dies in it, gets another round. `tried` had
 * theirs in this one.
 */
export async function runHooks(
  delayed: DelayedContext,
  definition: DelayedDefinition,
  upload: UploadRow,
  record: unknown,
  tried: readonly string[] = [],
): Promise<void> {
  const { session } = delayed.store
  const files = await findFilesOfUploads(session, [upload.token])
  const round = readHookRound(upload)
  const last = round >= MAX_HOOK_ROUNDS
  const over = round > MAX_HOOK_ROUNDS
  if (over)
    delayed.log(
      'error',
      'Hooks ended their process in each round; what they were to be told of counts as told.',
      {
        upload: upload.token,
      },
    )
  let threw = false
  for (const file of files)
    if (file.state === 'attached') {
      const told =
        over ||
        (!tried.includes(file.id) &&
          (await runAfterUpload(delayed, definition, upload, file, record, round)))
      if (told || last) await markDone(delayed, file)
      else threw = true
    }
  if (files.some((file) => file.state === 'staged' || file.state === 'failed')) {
    await releaseHookLease(delayed, upload, threw ? HOOK_ROUND_DELAY_MS * 2 ** round : 0)
    return
  }
  if (!threw && !over)
    threw = !(await runAfterUploadAll(delayed, definition, upload, record, round))
  if (threw && !last) await releaseHookLease(delayed, upload, HOOK_ROUND_DELAY_MS * 2 ** round)
  else await deleteFinishedUpload(delayed, upload)
}

/** A round whose record cannot be had. In the last one, what hooks were to be told of counts as told. */
export async function skipHookRound(
  delayed: DelayedContext,
  upload: UploadRow,
  error: Error,
): Promise<void> {
  const round = readHookRound(upload)
  const { type, id, name } = upload.lane
  delayed.log('error', `Hooks of ${type}.${name} could not be told: ${error.message}`, {
    record: { type, id },
    attachment: name,
    error,
  })
  if (round < MAX_HOOK_ROUNDS)
    return releaseHookLease(delayed, upload, HOOK_ROUND_DELAY_MS * 2 ** round)
  const files = await findFilesOfUploads(delayed.store.session, [upload.token])
  for (const file of files) if (file.state === 'attached') await markDone(delayed, file)
  if (files.some((file) => file.state === 'staged' || file.state === 'failed'))
    return releaseHookLease(delayed, upload)
  await deleteFinishedUpload(delayed, upload)
}

async function deleteFinishedUpload(delayed: DelayedContext, upload: UploadRow): Promise<void> {
  const fence = { by: 'lease', leaseToken: upload.leaseToken } as const
  await deleteUploads(delayed.store.session, [upload], fence)
}

/** True when the hook returned; false is reported and never undoes the attachment. */
export async function runAfterUpload(
  delayed: DelayedContext,
  definition: DelayedDefinition,
  upload: UploadRow,
  file: FileRow,
  record: unknown,
  attempt: number,
): Promise<boolean> {
  const { lane } = upload
  if (definition.afterUpload === undefined) return true
  await delayed.touch(lane.type, lane.id)
  const rows = await findAttachments(delayed.store.session, lane.type, [lane.id], lane.name)
  const attachment = rows.find((row) => row.blob.key === file.blobKey) ?? null
  try {
    await definition.afterUpload(record, { upload, file, attachment, attempt, retryAt: null })
    return true
  } catch (error) {
    logHookError(delayed, upload, 'afterUpload', error, file)
    return false
  }
}

async function runAfterUploadAll(
  delayed: DelayedContext,
  definition: DelayedDefinition,
  upload: UploadRow,
  record: unknown,
  attempt: number,
): Promise<boolean> {
  try {
    await definition.afterUploadAll?.(record, { upload, attachment: null, attempt, retryAt: null })
    return true
  } catch (error) {
    logHookError(delayed, upload, 'afterUploadAll', error)
    return false
  }
}

export async function markDone(delayed: DelayedContext, file: FileRow): Promise<void> {
  await finishFiles(delayed.store.session, { ids: [file.id] }, delayed.expiresIn)
  await deleteChunksOfFile(delayed.store.session, file)
}

async function releaseHookLease(
  delayed: DelayedContext,
  upload: UploadRow,
  delay: number = 0,
): Promise<void> {
  await delayed.store.session.db
    .updateTable('uploads')
    // The token stays: rounds are counted in it.
    .set({ lease_until: 0, run_at: nowPlus(delayed.store.dialect, delay) })
    .where('token', '=', upload.token)
    .where('lease_token', '=', upload.leaseToken)
    .execute()
}

export function logHookError(
  delayed: DelayedContext,
  upload: UploadRow,
  hook: string,
  error: unknown,
  file?: FileRow,
): void {
  const { type, id, name } = upload.lane
  delayed.log(
    'error',
    `The ${hook} hook of ${type}.${name} threw; the attachment stays, the hook is told again.`,
    {
      record: { type, id },
      attachment: name,
      filename: file?.filename,
      error,
    },
  )
}
