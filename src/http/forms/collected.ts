import type { Files } from '../../attached/record.ts'
import type { SlotDefinition } from '../../attached/scope.ts'
import { StagedFile } from '../../attached/staged-file.ts'
import { checkCount } from '../../staging/limits.ts'

/** What a form brings for one attachment, in the form's order, though files are staged side by side. */
export interface Collected {
  readonly entries: { readonly name: string; file: StagedFile | string }[]
  /** Signed ids of a has-one that another file came after. */
  readonly surplus: string[]
  readonly deletedIds: string[]
  cleanBefore: string | null
}

export const nothingCollected = (): Collected => ({
  entries: [],
  surplus: [],
  deletedIds: [],
  cleanBefore: null,
})

/** Takes the next place. Throws TooManyFilesError, before a byte of the file is staged. */
export function addEntry(
  collected: Collected,
  definition: SlotDefinition,
  slot: string,
  name: string,
  file: string,
): Collected['entries'][0] {
  const entry = { name, file }
  collected.entries.push(entry)
  checkCount(
    collected.entries.length,
    definition.kind === 'many' ? definition.maxFiles : undefined,
    { attachment: slot },
  )
  return entry
}

/** What this request staged. */
export async function discardStaged(all: Iterable<Collected>): Promise<void> {
  for (const { entries } of all)
    for (const { file } of entries) if (file instanceof StagedFile) await file.discard()
}

/** Of several files for a has-one the last one counts: those that came with this request are given up now. */
export async function dropSurplus(collected: Collected, definition: SlotDefinition): Promise<void> {
  if (definition.kind === 'many') return
  const surplus = collected.entries.splice(0, Math.max(0, collected.entries.length - 1))
  collected.surplus.push(...surplus.flatMap(({ file }) => (typeof file === 'string' ? [file] : [])))
  await discardStaged([{ ...collected, entries: surplus }])
}

/** As attachLater takes it; undefined: the form says nothing of the attachment. */
export function inputOf(
  { entries, deletedIds, cleanBefore }: Collected,
  { kind }: SlotDefinition,
): Files<never>[never] | undefined {
  const files = entries.map(({ file }) => file)
  if (kind === 'one') return files.at(-1) as never
  const isAsked = files.length > 0 || deletedIds.length > 0 || cleanBefore !== null
  return (
    isAsked ? { files, deletedIds, ...(cleanBefore === null ? {} : { cleanBefore }) } : undefined
  ) as never
}
