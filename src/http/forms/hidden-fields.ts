import { TOKEN_PURPOSE } from '../../attached/context.ts'
import { blobPath, pendingPath } from '../../attached/paths.ts'
import { StagedFile } from '../../attached/staged-file.ts'
import { findBlob } from '../../blobs/blob-rows.ts'
import { dropUnlinkedFile, findFiles } from '../../staging/file-rows.ts'
import type { HttpContext } from '../context.ts'
import type { AttachmentFields } from './attachment-fields.ts'

/** `<input type="hidden" name="…" value="…">`. */
export interface HiddenField {
  readonly name: string
  /** A signed id. */
  readonly value: string
  /** null: the file is gone. */
  readonly filename: string | null
  /** Where it is seen meanwhile. */
  readonly path: string | null
}

/** Files that came with this request, and those that an earlier one staged or uploaded. */
export async function listHiddenFields(
  context: HttpContext,
  { entries }: AttachmentFields,
): Promise<HiddenField[]> {
  const fields: HiddenField[] = []
  for (const { name, file } of entries)
    fields.push(
      file instanceof StagedFile
        ? { name, value: file.signedId, filename: file.filename, path: file.path() }
        : { name, value: file, ...(await findSignedFile(context, file)) },
    )
  return fields
}

async function findSignedFile(
  context: HttpContext,
  signedId: string,
): Promise<Pick<HiddenField, 'filename' | 'path'>> {
  const { session } = await context.store()
  const staged = context.verifier.verify(signedId, { purpose: TOKEN_PURPOSE.staged })
  const [file] = staged === null ? [] : await findFiles(session, [String(staged.value)])
  if (file !== undefined) return { filename: file.filename, path: pendingPath(context, file) }
  const signed = context.verifier.verify(signedId, { purpose: TOKEN_PURPOSE.blob })
  const blob =
    signed === null || signed.expired === true
      ? null
      : await findBlob(session, { id: String(signed.value) })
  return blob === null
    ? { filename: null, path: null }
    : { filename: blob.filename, path: blobPath(context, blob) }
}

/** Gives up what earlier requests staged, unless it was submitted. A stored blob, or what a token for something else names, stays. */
export async function discardHiddenFields(
  context: HttpContext,
  all: Iterable<AttachmentFields>,
): Promise<void> {
  const { session } = await context.store()
  for (const { entries, surplus } of all)
    for (const signedId of [...surplus, ...entries.map(({ file }) => file)]) {
      const staged =
        typeof signedId === 'string'
          ? context.verifier.verify(signedId, { purpose: TOKEN_PURPOSE.staged })
          : null
      if (staged !== null) await dropUnlinkedFile(session, String(staged.value))
    }
}
