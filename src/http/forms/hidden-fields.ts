import type { StorageContext } from '../../attached/context.ts'
import { discardSignedFile, findSignedFile } from '../../attached/lookups.ts'
import { StagedFile } from '../../attached/staged-file.ts'
import type { AttachmentFields } from './attachment-fields.ts'

/**
 * Attributes of `<input type="hidden" name="…" value="…">`, which stands for a file in a form that
 * is shown again.
 */
export interface HiddenField {
  /** Name of the input, such as 'user[photo]'. */
  readonly name: string
  /** Signed id of the file. */
  readonly value: string
  /** null: the file is gone. */
  readonly filename: string | null
  /** Path of the app's route to the file. null: the file is gone. */
  readonly path: string | null
}

/**
 * Lists hidden fields for the files of this request, and for files of earlier requests that the
 * form names.
 */
export async function listHiddenFields(
  context: StorageContext,
  { entries }: AttachmentFields,
): Promise<HiddenField[]> {
  const fields: HiddenField[] = []
  for (const { name, file } of entries)
    if (file instanceof StagedFile)
      fields.push({ name, value: file.signedId, filename: file.filename, path: file.path() })
    else {
      const found = await findSignedFile(context, file)
      fields.push({ name, value: file, ...(found ?? { filename: null, path: null }) })
    }
  return fields
}

/** Discards staged files of earlier requests. Submitted files and stored blobs stay. */
export async function discardHiddenFields(
  context: StorageContext,
  attachments: readonly AttachmentFields[],
): Promise<void> {
  for (const { entries, surplus } of attachments)
    for (const file of [...surplus, ...entries.map((entry) => entry.file)])
      if (typeof file === 'string') await discardSignedFile(context, file)
}
