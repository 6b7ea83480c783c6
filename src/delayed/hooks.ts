import { attachmentsOf } from '../attachments/attachment-rows.ts'
import { later } from '../database/expressions.ts'
import { deleteBytes } from '../staging/chunks.ts'
import { filesOf, type FileRow } from '../staging/file-rows.ts'
import type { Delayed, DelayedDefinition } from './definition.ts'
import { roundOf, ROUNDS } from './rounds.ts'
import type { UploadRow } from './upload-rows.ts'

const ROUND_DELAY = 5_000

/**
 * Tells the app of what was attached: `afterUpload` for each file that was not told yet, then `afterUploadAll`, then the
 * upload's row goes. At least once each: a hook that throws, or a process that dies in it, gets another round. `tried` had
 * theirs in this one.
 */
export async function tellHooks(
  delayed: Delayed,
  definition: DelayedDefinition,
  upload: UploadRow,
  record: unknown,
  tried: readonly string[] = [],
): Promise<void> {
  const { session } = delayed.store
  const files = await filesOf(session, [upload.token])
  const round = roundOf(upload)
  const last = round >= ROUNDS
  const over = round > ROUNDS
  if (over)
    delayed.report(
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
          (await tellFile(delayed, definition, upload, file, record, round)))
      if (told || last) await markTold(delayed, file)
      else threw = true
    }
  if (files.some((file) => file.state === 'staged' || file.state === 'failed')) {
    await endLease(delayed, upload, threw ? ROUND_DELAY * 2 ** round : 0)
    return
  }
  if (!threw && !over) threw = !(await tellAll(delayed, definition, upload, record, round))
  if (threw && !last) await endLease(delayed, upload, ROUND_DELAY * 2 ** round)
  else await dropUpload(delayed, upload)
}

/** A round whose record cannot be had. In the last one, what hooks were to be told of counts as told. */
export async function passHooks(delayed: Delayed, upload: UploadRow, error: Error): Promise<void> {
  const round = roundOf(upload)
  const { type, id, name } = upload.lane
  delayed.report('error', `Hooks of ${type}.${name} could not be told: ${error.message}`, {
    record: { type, id },
    attachment: name,
    error,
  })
  if (round < ROUNDS) return endLease(delayed, upload, ROUND_DELAY * 2 ** round)
  const files = await filesOf(delayed.store.session, [upload.token])
  for (const file of files) if (file.state === 'attached') await markTold(delayed, file)
  if (files.some((file) => file.state === 'staged' || file.state === 'failed'))
    return endLease(delayed, upload)
  await dropUpload(delayed, upload)
}

async function dropUpload(delayed: Delayed, upload: UploadRow): Promise<void> {
  await delayed.store.session.db
    .deleteFrom('uploads')
    .where('token', '=', upload.token)
    .where('lease_token', '=', upload.leaseToken)
    .execute()
}

/** True when the hook returned; false is reported and never undoes the attachment. */
export async function tellFile(
  delayed: Delayed,
  definition: DelayedDefinition,
  upload: UploadRow,
  file: FileRow,
  record: unknown,
  attempt: number,
): Promise<boolean> {
  const { lane } = upload
  if (definition.afterUpload === undefined) return true
  await delayed.touch(lane.type, lane.id)
  const rows = await attachmentsOf(delayed.store.session, lane.type, [lane.id], lane.name)
  const attachment = rows.find((row) => row.blob.key === file.blobKey) ?? null
  try {
    await definition.afterUpload(record, { upload, file, attachment, attempt, retryAt: null })
    return true
  } catch (error) {
    reportHook(delayed, upload, 'afterUpload', error, file)
    return false
  }
}

async function tellAll(
  delayed: Delayed,
  definition: DelayedDefinition,
  upload: UploadRow,
  record: unknown,
  attempt: number,
): Promise<boolean> {
  try {
    await definition.afterUploadAll?.(record, { upload, attachment: null, attempt, retryAt: null })
    return true
  } catch (error) {
    reportHook(delayed, upload, 'afterUploadAll', error)
    return false
  }
}

export async function markTold(delayed: Delayed, file: FileRow): Promise<void> {
  await delayed.store.session.db
    .updateTable('files')
    .set({ state: 'told', expires_at: later(delayed.store.dialect, delayed.expiresIn) })
    .where('id', '=', file.id)
    .where('state', '=', 'attached')
    .execute()
  await deleteBytes(delayed.store.session, file)
}

async function endLease(delayed: Delayed, upload: UploadRow, delay: number = 0): Promise<void> {
  await delayed.store.session.db
    .updateTable('uploads')
    // The token stays: rounds are counted in it.
    .set({ lease_until: 0, run_at: later(delayed.store.dialect, delay) })
    .where('token', '=', upload.token)
    .where('lease_token', '=', upload.leaseToken)
    .execute()
}

export function reportHook(
  delayed: Delayed,
  upload: UploadRow,
  hook: string,
  error: unknown,
  file?: FileRow,
): void {
  const { type, id, name } = upload.lane
  delayed.report(
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
