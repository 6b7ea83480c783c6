import { readStagedId, readTokenId } from '../../attached/signed-tokens.ts'
import type { StorageContext } from '../../attached/context.ts'
import { blobPath, pendingPath } from '../../attached/paths.ts'
import { StagedFile } from '../../attached/staged-file.ts'
import { findBlob } from '../../blobs/blob-rows.ts'
import { dropUnlinkedFile, findFiles } from '../../staging/file-rows.ts'
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
  context: StorageContext,
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
  context: StorageContext,
  signedId: string,
): Promise<Pick<HiddenField, 'filename' | 'path'>> {
  const { session } = await context.store()
  const stagedId = readStagedId(context, signedId)
  const [file] = stagedId === null ? [] : await findFiles(session, [stagedId])
  if (file !== undefined) return { filename: file.filename, path: pendingPath(context, file) }
  const blobId = readTokenId(context, 'blob', signedId)
  const blob = blobId === null ? null : await findBlob(session, { id: blobId })
  return blob === null
    ? { filename: null, path: null }
    : { filename: blob.filename, path: blobPath(context, blob) }
}

/** Gives up what earlier requests staged, unless it was submitted. A stored blob, or what a token for something else names, stays. */
export async function discardHiddenFields(
  context: StorageContext,
  all: Iterable<AttachmentFields>,
): Promise<void> {
  const { session } = await context.store()
  for (const { entries, surplus } of all)
    for (const signedId of [...surplus, ...entries.map(({ file }) => file)]) {
      const stagedId = typeof signedId === 'string' ? readStagedId(context, signedId) : null
      if (stagedId !== null) await dropUnlinkedFile(session, stagedId)
    }
}
