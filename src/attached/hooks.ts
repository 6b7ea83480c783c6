import type { DelayedDefinition, HookPayload } from '../delayed/context.ts'
import { findFiles, findFilesOfUploads } from '../staging/file-rows.ts'
import type { AttachmentDefinition, StorageContext } from './context.ts'
import { toDelayedUpload } from './delayed-values.ts'
import type { HookContext, HookFile } from './definitions.ts'
import { toAttachment } from './stored-values.ts'

/** Adapts the app's hooks (values) to the uploader's hooks (rows). */
export function adaptHooks(
  definition: AttachmentDefinition,
  context: StorageContext,
): DelayedDefinition {
  const { afterUpload, afterUploadAll, errorUpload } = definition.hooks
  return {
    ...definition,
    afterUpload:
      afterUpload &&
      (async (record, payload) =>
        afterUpload(
          toHookRecord(record),
          toHookFile(context, payload),
          await readHookContext(context, payload),
        )),
    afterUploadAll:
      afterUploadAll &&
      (async (record, payload) =>
        afterUploadAll(toHookRecord(record), await readHookContext(context, payload))),
    errorUpload:
      errorUpload &&
      (async (record, error, payload) => {
        const { session } = await context.store()
        const [file = payload.file] = await findFiles(session, [payload.file.id])
        await errorUpload(
          toHookRecord(record),
          error,
          toHookFile(context, { ...payload, file }),
          await readHookContext(context, payload),
        )
      }),
  }
}

/**
 * Casts a record to the type that a hook expects. Only the app knows it: its `findRecord` returns
 * such records.
 */
const toHookRecord = (record: unknown): never => record as never

async function readHookContext(
  context: StorageContext,
  { upload, attempt, retryAt }: Omit<HookPayload, 'file'>,
): Promise<HookContext> {
  const { session } = await context.store()
  const files = await findFilesOfUploads(session, [upload.token])
  return { upload: toDelayedUpload(context, upload, files, null), attempt, retryAt }
}

function toHookFile(context: StorageContext, { file, attachment }: HookPayload): HookFile {
  return {
    filename: file.sentFilename ?? file.filename,
    contentType: file.sentType ?? file.contentType,
    byteSize: file.sentSize ?? file.byteSize,
    key: file.blobKey,
    attachment: attachment === null ? null : toAttachment(context, attachment, null),
  }
}
