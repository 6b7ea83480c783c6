import { TOKEN_PURPOSE } from './signed-tokens.ts'
import type { Lane } from '../attachments/lane.ts'
import type { Session } from '../database/session.ts'
import { discardUpload, retryUpload } from '../delayed/retry-and-discard.ts'
import { readPublicFileError, readPublicUploadError } from '../delayed/public-upload-error.ts'
import type { UploadRow } from '../delayed/upload-rows.ts'
import { wakeLane } from '../delayed/wake-lane.ts'
import { IntegrityError } from '../errors/errors.ts'
import { readStaged, readStagedRange } from '../staging/chunks.ts'
import { findFiles, isAttached, type FileRow } from '../staging/file-rows.ts'
import { requireService, type StorageContext } from './context.ts'
import { pendingPath, delayedUploadPath } from './paths.ts'
import { applyChange, type ChangeScope } from './scope.ts'
import {
  toReadableFile,
  type DelayedFile,
  type DelayedUpload,
  type StreamOptions,
} from './values.ts'

function toDelayedFile(context: StorageContext, upload: UploadRow, row: FileRow): DelayedFile {
  const state =
    row.state === 'staged'
      ? upload.state === 'running'
        ? 'uploading'
        : 'staged'
      : row.state === 'failed'
        ? 'failed'
        : 'attached'
  const base = {
    id: row.id,
    filename: row.filename,
    contentType: row.contentType,
    byteSize: row.byteSize,
    checksum: row.checksum,
    state,
    uploadedBytes: isAttached(row) ? (row.sentSize ?? row.byteSize) : row.uploadedBytes,
    lastError: row.lastError,
    publicError: readPublicFileError(row),
  } as const
  const read = (options: StreamOptions = {}) => readDelayedFile(context, row, options)
  return {
    ...base,
    ...toReadableFile(row.filename, read),
    path: (options) => pendingPath(context, row, options),
    toJSON: () => toPageJson(base),
  }
}

/**
 * Converts a value to JSON. Pages show it to visitors, so its `lastError` is the text for them, as
 * in the progress.
 */
function toPageJson<B extends { readonly publicError: string | null }>({
  publicError,
  ...base
}: B): Omit<B, 'publicError'> {
  return { ...base, lastError: publicError } as Omit<B, 'publicError'>
}

/**
 * Reads a pending file from the database, and continues with the service if a worker attaches the
 * file meanwhile.
 */
export async function* readDelayedFile(
  context: StorageContext,
  row: FileRow,
  options: StreamOptions,
): AsyncGenerator<Uint8Array> {
  // The stored file may have another size than the staged one, because it may have been
  // transformed.
  if (isAttached(row)) return yield* readStoredFile(context, row, options)
  const { range: [start, end] = [0, row.byteSize - 1], signal } = options
  const store = await context.store()
  const isWhole = start === 0 && end >= row.byteSize - 1
  let at = start
  try {
    const chunks = isWhole
      ? readStaged(store, row, signal)
      : readStagedRange(store, row, start, Math.min(end, row.byteSize - 1), signal)
    for await (const chunk of chunks) {
      yield chunk
      at += chunk.length
    }
  } catch (error) {
    const [current] =
      error instanceof IntegrityError ? await findFiles(store.session, [row.id]) : []
    // The staged bytes were deleted because the service has them. A transformed file has others.
    if (current === undefined || !isAttached(current) || current.sentChecksum !== row.checksum)
      throw error
    if (at <= end) yield* readStoredFile(context, current, { ...options, range: [at, end] })
  }
}

async function* readStoredFile(
  context: StorageContext,
  { serviceName, blobKey }: FileRow,
  options: StreamOptions,
): AsyncGenerator<Uint8Array> {
  if (serviceName !== null && blobKey !== null)
    yield* await requireService(context, serviceName).download(blobKey, options)
}

/** Creates the app's value of an upload. Its methods work in the transaction of `scope`. */
export function toDelayedUpload(
  scope: ChangeScope,
  row: UploadRow,
  files: readonly FileRow[],
): DelayedUpload {
  const { context } = scope
  const values = files
    .filter((file) => file.state !== 'dropped')
    .map((file) => toDelayedFile(context, row, file))
  const { type, id, name } = row.lane
  const base = {
    id: row.token,
    record: { type, id },
    name,
    state: row.state === 'attached' ? ('running' as const) : row.state,
    attempts: row.attempts,
    runAt: new Date(row.runAt),
    lastError: row.lastError,
    publicError: readPublicUploadError(row, files),
    cleanBefore: row.cleanBefore,
    createdAt: row.createdAt,
  }
  return {
    ...base,
    files: values,
    get signedId() {
      return context.verifier.generate(row.token, { purpose: TOKEN_PURPOSE.upload })
    },
    path: () => delayedUploadPath(context, row.token),
    retry: () =>
      changeUpload(scope, row.lane, async (session) => {
        await retryUpload(session, context.kindOf, row.token)
        await context.notifyWorkers(session, [row.token])
      }),
    discard: () => changeUpload(scope, row.lane, (session) => discardUpload(session, row.token)),
    toJSON: () => ({ ...toPageJson(base), files: values.map((file) => file.toJSON()) }),
  }
}

/** Changes an upload, and wakes its lane and workers after the commit. */
async function changeUpload(
  scope: ChangeScope,
  lane: Lane,
  run: (session: Session) => Promise<void>,
): Promise<void> {
  await applyChange(scope, ({ session }) => run(session))
  // In a user's transaction it is too early: the other uploads of the lane are due by themselves.
  if (scope.session === null) await wakeLane((await scope.context.store()).session, lane)
  scope.afterCommit(scope.context.wake)
}
