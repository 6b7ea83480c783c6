import { deleteLockedAttachments } from '../attachments/attachment-rows.ts'
import type { Session } from '../database/session.ts'
import { createUpload } from './create-upload.ts'
import { listReplaceable } from './keeps.ts'
import { protectFromOlder } from './lane-uploads.ts'
import type { LinkPlan } from './plan-link.ts'
import type { UploadWithFiles } from './upload-rows.ts'

/** The upload of a submission. */
export interface LinkedUpload {
  readonly token: string
  /** The rows that were written. null: the upload existed before, as after a double click. */
  readonly created: UploadWithFiles | null
}

/**
 * Writes what `planLink` planned. Takes the same time for files of any size. null: the submission
 * has no file, and its deletions are done.
 */
export async function link(session: Session, plan: LinkPlan): Promise<LinkedUpload | null> {
  const { submission, newFiles, existingToken, removed, attached, keeps, older } = plan
  const { lane, kind } = submission
  const cleanBefore = submission.cleanBefore && kind === 'many'
  await deleteLockedAttachments(session, removed, { purge: true })
  const fileIds = newFiles.map(({ id }) => id)
  await protectFromOlder(session, older, attached, { keeps, fileIds })
  const replaceable = listReplaceable(attached, keeps)
  if (newFiles.length > 0) {
    const upload = await createUpload(session, {
      lane,
      files: newFiles,
      surplus: plan.surplus,
      cleanBefore,
      replaces:
        kind === 'one' || cleanBefore ? replaceable.map(({ attachmentId }) => attachmentId) : null,
      keeps,
    })
    const { token } = upload
    const files = newFiles.map((file, position) => ({ ...file, uploadToken: token, position }))
    return { token, created: { upload, files } }
  }
  if (existingToken !== null) return { token: existingToken, created: null }
  if (cleanBefore) await deleteLockedAttachments(session, replaceable, { purge: true })
  return null
}
