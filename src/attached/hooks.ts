import type { DelayedDefinition, HookPayload } from '../delayed/context.ts'
import type { UploadRow } from '../delayed/upload-rows.ts'
import { findFiles, findFilesOfUploads } from '../staging/file-rows.ts'
import type { AttachmentDefinition, StorageContext } from './context.ts'
import { toDelayedUpload } from './delayed-values.ts'
import type { HookFile } from './definitions.ts'
import { createChangeScope } from './scope.ts'
import { toAttachment } from './stored-values.ts'
import type { DelayedUpload } from './values.ts'

/** Adapts the app's hooks (values) to the uploader's hooks (rows). */
export function adaptHooks(
  definition: AttachmentDefinition,
  context: StorageContext,
): DelayedDefinition {
  const { afterUpload, afterUploadAll, errorUpload } = definition.hooks
  return {
    ...definition,
    hooks: {
      afterUpload:
        afterUpload &&
        (async (record, payload) =>
          afterUpload(toHookRecord(record), toHookFile(context, payload), {
            upload: await readUpload(context, payload.upload),
            round: payload.round,
          })),
      afterUploadAll:
        afterUploadAll &&
        (async (record, payload) =>
          afterUploadAll(toHookRecord(record), {
            upload: await readUpload(context, payload.upload),
            round: payload.round,
          })),
      errorUpload:
        errorUpload &&
        (async (record, error, payload) => {
          const { session } = await context.store()
          const [file = payload.file] = await findFiles(session, [payload.file.id])
          const { upload, retryAt } = payload
          await errorUpload(
            toHookRecord(record),
            error,
            toHookFile(context, { file, attachment: null }),
            {
              upload: await readUpload(context, upload),
              attempt: upload.attempts,
              retryAt,
            },
          )
        }),
    },
  }
}

/**
 * Casts a record to the type that a hook expects. Only the app knows it: its `findRecord` returns
 * such records.
 */
const toHookRecord = (record: unknown): never => record as never

async function readUpload(context: StorageContext, upload: UploadRow): Promise<DelayedUpload> {
  const { session } = await context.store()
  const files = await findFilesOfUploads(session, [upload.token])
  return toDelayedUpload(createChangeScope(context), upload, files)
}

function toHookFile(
  context: StorageContext,
  { file, attachment }: Pick<HookPayload, 'file' | 'attachment'>,
): HookFile {
  return {
    filename: file.sentFilename ?? file.filename,
    contentType: file.sentType ?? file.contentType,
    byteSize: file.sentSize ?? file.byteSize,
    key: file.blobKey,
    attachment: attachment === null ? null : toAttachment(createChangeScope(context), attachment),
  }
}
