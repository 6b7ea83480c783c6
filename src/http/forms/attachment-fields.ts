import type { AttachmentDefinition } from '../../attached/context.ts'
import type { FilesByName } from '../../attached/record.ts'
import { StagedFile } from '../../attached/staged-file.ts'
import { checkFileCount } from '../../staging/limits.ts'

/** What a form brings for one attachment, in the form's order, though files are staged side by side. */
export interface AttachmentFields {
  readonly entries: { readonly name: string; file: StagedFile | string }[]
  /** Signed ids of a has-one that another file came after. */
  readonly surplus: string[]
  readonly deletedIds: string[]
  cleanBefore: string | null
}

export const createAttachmentFields = (): AttachmentFields => ({
  entries: [],
  surplus: [],
  deletedIds: [],
  cleanBefore: null,
})

/** Takes the next place. Throws TooManyFilesError, before a byte of the file is staged. */
export function addEntry(
  collected: AttachmentFields,
  definition: AttachmentDefinition,
  slot: string,
  name: string,
  file: string,
): AttachmentFields['entries'][0] {
  const entry = { name, file }
  collected.entries.push(entry)
  checkFileCount(
    collected.entries.length,
    definition.kind === 'many' ? definition.maxFiles : undefined,
    { attachment: slot },
  )
  return entry
}

/** What this request staged. */
export async function discardStagedFiles(all: Iterable<AttachmentFields>): Promise<void> {
  for (const { entries } of all)
    for (const { file } of entries) if (file instanceof StagedFile) await file.discard()
}

/** Of several files for a has-one the last one counts: those that came with this request are given up now. */
export async function dropSurplus(
  collected: AttachmentFields,
  definition: AttachmentDefinition,
): Promise<void> {
  if (definition.kind === 'many') return
  const surplus = collected.entries.splice(0, Math.max(0, collected.entries.length - 1))
  collected.surplus.push(...surplus.flatMap(({ file }) => (typeof file === 'string' ? [file] : [])))
  await discardStagedFiles([{ ...collected, entries: surplus }])
}

/** As attachLater takes it; undefined: the form says nothing of the attachment. */
export function toAttachInput(
  { entries, deletedIds, cleanBefore }: AttachmentFields,
  { kind }: AttachmentDefinition,
): FilesByName<never>[never] | undefined {
  const files = entries.map(({ file }) => file)
  if (kind === 'one') return files.at(-1) as never
  const isAsked = files.length > 0 || deletedIds.length > 0 || cleanBefore !== null
  return (
    isAsked ? { files, deletedIds, ...(cleanBefore === null ? {} : { cleanBefore }) } : undefined
  ) as never
}
