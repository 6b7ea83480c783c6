import type { DelayedDefinition, Told } from '../delayed/definition.ts'
import { filesOf, findFiles } from '../staging/file-rows.ts'
import type { AttachedContext } from './context.ts'
import { uploadValue } from './delayed-values.ts'
import type { HookContext, HookFile } from './definitions.ts'
import type { SlotDefinition } from './scope.ts'
import { attachmentValue } from './stored-values.ts'

/** The room below tells hooks in rows; here they become the values that an app sees. */
export function withHooks(definition: SlotDefinition, context: AttachedContext): DelayedDefinition {
  const { afterUpload, afterUploadAll, errorUpload } = definition.hooks
  const contextOf = async ({
    upload,
    attempt,
    retryAt,
  }: Omit<Told, 'file'>): Promise<HookContext> => {
    const { session } = await context.store()
    return {
      upload: uploadValue(context, upload, await filesOf(session, [upload.token]), null),
      attempt,
      retryAt,
    }
  }
  return {
    ...definition,
    afterUpload:
      afterUpload &&
      (async (record, told) =>
        afterUpload(record as never, fileOf(context, told), await contextOf(told))),
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
          fileOf(context, { ...told, file: now ?? told.file }),
          await contextOf(told),
        )
      }),
  }
}

function fileOf(context: AttachedContext, { file, attachment }: Told): HookFile {
  return {
    filename: file.sentFilename ?? file.filename,
    contentType: file.sentType ?? file.contentType,
    byteSize: file.sentSize ?? file.byteSize,
    key: file.blobKey,
    attachment: attachment === null ? null : attachmentValue(context, attachment, null),
  }
}
