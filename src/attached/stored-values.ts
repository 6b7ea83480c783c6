import { lockAttachments, type AttachmentRow } from '../attachments/attachment-rows.ts'
import { lockLanes } from '../attachments/lane.ts'
import { purgeBlob, removeAttachments, type Removal } from '../attachments/purge.ts'
import { purgeBlobLater } from '../attachments/purge-later.ts'
import { parseMetadata, type BlobRow } from '../blobs/blob-rows.ts'
import { toContentDisposition } from '../blobs/content-disposition.ts'
import { toSafeContentType } from '../blobs/safe-content-type.ts'
import { parseDuration } from '../options/units.ts'
import { requireService, type StorageContext } from './context.ts'
import { blobPath, diskPath, signBlob } from './paths.ts'
import type { PurgeOptions } from './remove.ts'
import { runChange, type ChangeScope } from './scope.ts'
import { lockLaneUploads } from '../delayed/upload-rows.ts'
import { supersedeUploads } from './supersede.ts'
import { toReadableFile, type Attachment, type StoredBlob, type UrlOptions } from './values.ts'

/**
 * Creates the service's own URL, or a path of `handler` for a service without URLs. Throws
 * ConfigurationError.
 */
export async function createUrl(
  context: StorageContext,
  row: BlobRow,
  options: UrlOptions = {},
): Promise<string> {
  const { expiresIn = '5m', disposition = 'inline', filename = row.filename, signal } = options
  const { contentType, mayBeInline } = toSafeContentType(row.contentType)
  const service = requireService(context, row.serviceName)
  const seconds = Math.max(1, Math.round(parseDuration(expiresIn, 'expiresIn') / 1000))
  const url = await service.url(row.key, {
    expiresIn: seconds,
    disposition: toContentDisposition(mayBeInline ? disposition : 'attachment', filename),
    contentType,
    ...(signal === undefined ? {} : { signal }),
  })
  const expiresAt = service.public === true ? undefined : new Date(Date.now() + seconds * 1000)
  return url ?? diskPath(context, row, { disposition, filename, expiresAt })
}

/** Creates the app's value of a blob. */
export function toStoredBlob(context: StorageContext, row: BlobRow): StoredBlob {
  const read = async function* (
    options: { range?: readonly [number, number]; signal?: AbortSignal } = {},
  ) {
    yield* await requireService(context, row.serviceName).download(row.key, options)
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
    ...toReadableFile(row.filename, read),
    url: (options) => createUrl(context, row, options),
    path: (options) => blobPath(context, row, options),
    get signedId() {
      return signBlob(context, row.id)
    },
    async purge({ signal } = {}) {
      signal?.throwIfAborted()
      const store = await context.store()
      const jobKeys = await store.transact((session) => purgeBlob(session, row.id))
      await context.deleteObjectsNow(jobKeys, signal)
    },
    async purgeLater() {
      await purgeBlobLater((await context.store()).session, row.id)
      context.wake()
    },
    toJSON: () => ({ ...base }),
  }
}

/** Creates the app's value of an attachment. Its methods work in the transaction of `scope`. */
export function toAttachment(scope: ChangeScope, row: AttachmentRow): Attachment {
  const { context } = scope
  const blob = toStoredBlob(context, row.blob)
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
  const remove = async (how: Removal, { signal }: PurgeOptions = {}): Promise<void> => {
    signal?.throwIfAborted()
    const keys = await runChange(scope, async (change) => {
      const { session } = change
      const lock = await lockLanes(session, [row])
      const locked = await lockAttachments(session, row)
      const removed = locked.filter(({ attachmentId }) => attachmentId === row.attachmentId)
      // A has-one has nothing left, as after the handle's own `purge`.
      if (removed.length > 0 && context.kindOf(row) === 'one')
        await supersedeUploads(change, context, row, {
          lock,
          uploads: await lockLaneUploads(session, row),
        })
      return removeAttachments(session, removed, how, {
        inUserTransaction: scope.session !== null,
      })
    })
    await context.deleteObjectsNow(keys, signal)
  }
  return {
    ...base,
    blob,
    download: blob.download,
    stream: blob.stream,
    open: blob.open,
    url: blob.url,
    path: blob.path,
    get signedId() {
      return blob.signedId
    },
    detach: () => remove('detach'),
    purge: (options) => remove('purge', options),
    purgeLater: () => remove('purgeLater'),
    toJSON: () => base,
  }
}
