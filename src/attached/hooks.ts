import type { DelayedDefinition, HookPayload } from '../delayed/context.ts'
import { findFilesOfUploads, findFiles } from '../staging/file-rows.ts'
import type { AttachmentDefinition, StorageContext } from './context.ts'
import { toDelayedUpload } from './delayed-values.ts'
import type { HookContext, HookFile } from './definitions.ts'
import { toAttachment } from './stored-values.ts'

/** The room below tells hooks in rows; here they become the values that an app sees. */
export function adaptHooks(
  definition: AttachmentDefinition,
  context: StorageContext,
): DelayedDefinition {
  const { afterUpload, afterUploadAll, errorUpload } = definition.hooks
  const contextOf = async ({
    upload,
    attempt,
    retryAt,
  }: Omit<HookPayload, 'file'>): Promise<HookContext> => {
    const { session } = await context.store()
    return {
      upload: toDelayedUpload(
        context,
        upload,
        await findFilesOfUploads(session, [upload.token]),
        null,
      ),
      attempt,
      retryAt,
    }
  }
  return {
    ...definition,
    afterUpload:
      afterUpload &&
      (async (record, told) =>
        afterUpload(record as never, toHookFile(context, told), await contextOf(told))),
    afterUploadAll:
      afterUploadAll &&
      (async (record, told) => afterUploadAll(record as never, await contextOf(told))),
    errorUpload:
      errorUpload &&
      (async (record, error, told) => {
        const [now] = await findFiles((await context.store()).session, [told.file.id])
        await errorUpload(
          record as never,
          error,
          toHookFile(context, { ...told, file: now ?? told.file }),
          await contextOf(told),
        )
      }),
  }
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
