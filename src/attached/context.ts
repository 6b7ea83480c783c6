import { deleteAttachments, lockAttachmentIds, type AttachmentRow } from '../attachments/attachment-rows.ts'
import { lockLanes, type Lane } from '../attachments/lane.ts'
import { purgeBlob } from '../attachments/purge.ts'
import { parseMetadata, type BlobRow } from '../blobs/blob-rows.ts'
import { contentDisposition } from '../blobs/content-disposition.ts'
import { served } from '../blobs/serving.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import { discardUpload, retryUpload } from '../delayed/person.ts'
import type { UploadRow } from '../delayed/upload-rows.ts'
import { ConfigurationError } from '../errors.ts'
import { insertJob } from '../jobs/job-rows.ts'
import type { MessageVerifier } from '../rails/message-verifier.ts'
import type { Service } from '../services/service.ts'
import { readStaged } from '../staging/chunks.ts'
import type { FileRow } from '../staging/file-rows.ts'
import { supersede } from './supersede.ts'
import { parseDuration } from '../units.ts'
import { readable, type Attachment, type DelayedFile, type DelayedUpload, type StoredBlob, type UrlOptions } from './values.ts'

/** What the handles of a record need; one for each storage. */
export interface AttachedContext {
  store(): Promise<Store>
  readonly services: Readonly<Record<string, Service>>
  readonly verifier: MessageVerifier
  kindOf(lane: Lane): 'one' | 'many'
  /** The last statement of a submission: workers hear of it at the commit, where the database or the queue can do that. */
  announce(session: Session, token: string): Promise<void>
  /** Jobs may be due: an in-process worker looks at once. */
  wake(): void
  /** Uploads that ended because of something newer. */
  superseded(uploads: readonly UploadRow[]): void
  /** Deletes the objects of blobs that were purged; what fails is left to workers. */
  deleteNow(keys: readonly string[]): Promise<void>
}

export const PURPOSE = { blob: 'blob_id', staged: 'activestorage_delayed_file', upload: 'activestorage_delayed_upload' } as const

function serviceOf(context: AttachedContext, name: string): Service {
  const service = context.services[name]
  if (service === undefined) throw new ConfigurationError(`The blob is in the service '${name}', which is not among the configured ones.`)
  return service
}

/** Rails' blob ids are integers in messages, or text where the app's keys are uuids. */
function signBlob(context: AttachedContext, id: string): string {
  return context.verifier.generate(/^\d+$/.test(id) ? BigInt(id) : id, { purpose: PURPOSE.blob })
}

async function urlOf(context: AttachedContext, row: BlobRow, options: UrlOptions = {}): Promise<string> {
  const { expiresIn = '5m', disposition = 'inline', filename = row.filename } = options
  const { contentType, mayBeInline } = served(row.contentType)
  const url = await serviceOf(context, row.serviceName).url(row.key, {
    expiresIn: Math.max(1, Math.round(parseDuration(expiresIn, 'expiresIn') / 1000)),
    disposition: contentDisposition(mayBeInline ? disposition : 'attachment', filename),
    contentType,
  })
  if (url !== null) return url
  throw new ConfigurationError(
    `The service '${row.serviceName}' has no URLs of its own, so ${row.filename} has none: send its stream() from a route of the app.`,
    { details: { filename: row.filename } },
  )
}

export function blobValue(context: AttachedContext, row: BlobRow): StoredBlob {
  const read = async function* (options: { range?: readonly [number, number]; signal?: AbortSignal } = {}) {
    yield* await serviceOf(context, row.serviceName).download(row.key, options)
  }
  const base = {
    id: row.id,
    key: row.key,
    filename: row.filename,
    contentType: row.contentType ?? 'application/octet-stream',
    byteSize: row.byteSize,
    checksum: row.checksum ?? '',
    serviceName: row.serviceName,
    metadata: parseMetadata(row.metadata),
    createdAt: row.createdAt,
  }
  return {
    ...base,
    ...readable(row.filename, read),
    url: (options) => urlOf(context, row, options),
    get signedId() {
      return signBlob(context, row.id)
    },
    async purge() {
      const store = await context.store()
      await context.deleteNow(await store.transact((session) => purgeBlob(session, row.id)))
    },
    async purgeLater() {
      await insertJob((await context.store()).session, 'purge', { blob: row.id })
      context.wake()
    },
    toJSON: () => ({ ...base }),
  }
}

export function attachmentValue(context: AttachedContext, row: AttachmentRow, session: Session | null): Attachment {
  const blob = blobValue(context, row.blob)
  const base = {
    id: row.attachmentId,
    state: 'attached' as const,
    name: row.name,
    record: { type: row.type, id: row.id },
    filename: blob.filename,
    contentType: blob.contentType,
    byteSize: blob.byteSize,
    checksum: blob.checksum,
    createdAt: row.createdAt,
  }
  const remove = async (purge: 'now' | 'later' | 'no'): Promise<void> => {
    const store = await context.store()
    const run = async (tx: Session): Promise<string[]> => {
      await lockLanes(tx, [row])
      const isThere = (await lockAttachmentIds(tx, store.recordId, row)).includes(row.attachmentId)
      // Of a has-one this was all that there was.
      if (isThere && context.kindOf(row) === 'one') await supersede(tx, context, row)
      const byJob = purge === 'later' || (purge === 'now' && session !== null)
      const gone = await deleteAttachments(tx, store.recordId, row, [row.attachmentId], byJob)
      return purge === 'now' && !byJob && gone.length > 0 ? purgeBlob(tx, row.blob.id) : []
    }
    const keys = await (session === null ? store.transact(run) : run(session))
    await context.deleteNow(keys)
    context.wake()
  }
  return {
    ...base,
    blob,
    download: blob.download,
    stream: blob.stream,
    open: blob.open,
    url: blob.url,
    get signedId() {
      return blob.signedId
    },
    detach: () => remove('no'),
    purge: () => remove('now'),
    purgeLater: () => remove('later'),
    toJSON: () => base,
  }
}

function fileValue(context: AttachedContext, upload: UploadRow, row: FileRow): DelayedFile {
  const state =
    row.state === 'staged' ? (upload.state === 'running' ? 'uploading' : 'staged') : row.state === 'failed' ? 'failed' : 'attached'
  const base = {
    id: row.id,
    filename: row.filename,
    contentType: row.contentType,
    byteSize: row.byteSize,
    checksum: row.checksum,
    state,
    uploadedBytes: row.state === 'attached' || row.state === 'told' ? (row.sentSize ?? row.byteSize) : row.uploadedBytes,
    lastError: row.lastError,
  } as const
  const read = async function* ({ range, signal }: { range?: readonly [number, number]; signal?: AbortSignal } = {}) {
    const stored = state === 'attached' && row.serviceName !== null && row.blobKey !== null ? context.services[row.serviceName] : undefined
    if (stored !== undefined && row.blobKey !== null) {
      yield* await stored.download(row.blobKey, { ...(range === undefined ? {} : { range }), ...(signal === undefined ? {} : { signal }) })
      return
    }
    const [start, end] = range ?? [0, row.byteSize - 1]
    let position = 0
    for await (const chunk of readStaged(await context.store(), row, signal)) {
      const from = Math.max(0, start - position)
      const to = Math.min(chunk.length, end + 1 - position)
      if (from < to) yield chunk.subarray(from, to)
      position += chunk.length
      if (position > end) return
    }
  }
  return { ...base, ...readable(row.filename, read), toJSON: () => base }
}

export function uploadValue(context: AttachedContext, row: UploadRow, files: readonly FileRow[], session: Session | null): DelayedUpload {
  const shown = files.filter((file) => file.state !== 'dropped').map((file) => fileValue(context, row, file))
  const { type, id, name } = row.lane
  const base = {
    id: row.token,
    record: { type, id },
    name,
    state: row.state === 'attached' ? ('running' as const) : row.state,
    attempts: row.attempts,
    runAt: new Date(row.runAt),
    lastError: row.lastError,
    cleanBefore: row.cleanBefore,
    createdAt: row.createdAt,
  }
  return {
    ...base,
    files: shown,
    get signedId() {
      return context.verifier.generate(row.token, { purpose: PURPOSE.upload })
    },
    async retry() {
      const store = await context.store()
      await retryUpload(store, session, context.kindOf, row.token)
      await context.announce(session ?? store.session, row.token)
      context.wake()
    },
    async discard() {
      await discardUpload(await context.store(), session, row.token)
      context.wake()
    },
    toJSON: () => ({ ...base, files: shown.map((file) => file.toJSON()) }),
  }
}
