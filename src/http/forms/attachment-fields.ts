import type { AttachmentDefinition } from '../../attached/context.ts'
import { assertFileCount } from '../../attached/file-count.ts'
import { StagedFile } from '../../attached/staged-file.ts'

/** A file of a form: staged by this request, or the signed id of an earlier one. */
export interface FormEntry {
  /** Name of the form's field. */
  readonly name: string
  file: StagedFile | string
}

/** Input that `attachLater` takes for one attachment. */
export type AttachmentInput =
  | FormEntry['file']
  | {
      readonly files: readonly FormEntry['file'][]
      readonly deletedIds: readonly string[]
      readonly cleanBefore?: string
    }

/**
 * All fields of a form for one attachment. Entries keep the form's order, although files are staged
 * in parallel.
 */
export class AttachmentFields {
  readonly entries: FormEntry[] = []
  /** Signed ids that a later file of a has-one replaces. */
  readonly surplus: string[] = []
  readonly deletedIds: string[] = []
  cleanBefore: string | null = null
  /** Name of the attachment, such as 'photo'. */
  readonly attachment: string
  readonly #definition: AttachmentDefinition

  constructor(attachment: string, definition: AttachmentDefinition) {
    this.attachment = attachment
    this.#definition = definition
  }

  /** Reserves the next position; throws TooManyFilesError before any byte of the file is staged. */
  add(name: string, file: string): FormEntry {
    const entry = { name, file }
    this.entries.push(entry)
    assertFileCount(this.#definition, this.attachment, this.entries.length)
    return entry
  }

  /** Keeps the last file of a has-one, and discards earlier ones that this request staged. */
  async dropSurplus(): Promise<void> {
    if (this.#definition.kind === 'many') return
    for (const { file } of this.entries.splice(0, Math.max(0, this.entries.length - 1)))
      if (typeof file === 'string') this.surplus.push(file)
      else await file.discard()
  }

  /** Discards the files that this request staged. */
  async discardStaged(): Promise<void> {
    for (const { file } of this.entries) if (file instanceof StagedFile) await file.discard()
  }

  /**
   * Returns the input for `attachLater`. undefined: the form has no field for the attachment, so
   * that nothing changes.
   */
  toInput(): AttachmentInput | undefined {
    const files = this.entries.map(({ file }) => file)
    if (this.#definition.kind === 'one') return files.at(-1)
    const { deletedIds, cleanBefore } = this
    if (files.length === 0 && deletedIds.length === 0 && cleanBefore === null) return undefined
    return { files, deletedIds, ...(cleanBefore === null ? {} : { cleanBefore }) }
  }
}
