import type { AttachmentDefinition, StorageContext } from '../../attached/context.ts'
import { stage } from '../../attached/stage.ts'
import { normalizeFilename } from '../../blobs/filename.ts'
import { InvalidInputError } from '../../errors/errors.ts'
import { formatList, formatValue } from '../../errors/message.ts'
import { AttachmentFields } from './attachment-fields.ts'
import { listAliases, parseFieldName, scopesOf } from './field-names.ts'
import type { FormFile } from './file-reader.ts'
import { sanitizePath, stripFolders } from './filenames.ts'
import { createFormValues, type FormValues } from './form-values.ts'
import type { FormHandlers } from './read-form.ts'

/** Model of a form, and how its fields are named. */
export interface CollectorOptions {
  readonly model: string
  /** Name before the first bracket. null: names have no brackets. undefined: the model's names. */
  readonly scope: string | null | undefined
  /** Keeps folders in filenames. */
  readonly preservePath: boolean
}

/** Sorts the fields of one form into values and attachments, and stages its files. */
export class FormCollector implements FormHandlers {
  readonly values: FormValues = createFormValues()
  readonly #context: StorageContext
  readonly #model: string
  readonly #definitions: ReadonlyMap<string, AttachmentDefinition>
  readonly #scopes: readonly string[] | null
  readonly #aliases: ReadonlyMap<string, string>
  readonly #cleanFilename: (filename: string) => string
  readonly #attachments = new Map<string, AttachmentFields>()

  constructor(
    context: StorageContext,
    definitions: ReadonlyMap<string, AttachmentDefinition>,
    { model, scope, preservePath }: CollectorOptions,
  ) {
    this.#context = context
    this.#model = model
    this.#definitions = definitions
    this.#scopes = scope === null ? null : scope === undefined ? scopesOf(model) : [scope]
    this.#aliases = listAliases(definitions.keys())
    this.#cleanFilename = preservePath ? sanitizePath : stripFolders
  }

  /** Attachments that the form has a field for, in the form's order. */
  get attachments(): readonly AttachmentFields[] {
    return [...this.#attachments.values()]
  }

  field(name: string, value: string): void {
    const target = parseFieldName(name, this.#scopes, this.#aliases)
    if (target.kind === 'value') return this.values.add(target, value)
    const fields = this.#fieldsFor(target.attachment)
    if (target.part === 'cleanBefore') fields.cleanBefore = value
    else if (target.part === 'deletedIds') fields.deletedIds.push(value)
    else if (value !== '') fields.add(name, value)
  }

  async file({ name, filename: sentFilename, contentType, io }: FormFile): Promise<void> {
    const filename = this.#cleanFilename(sentFilename)
    const target = parseFieldName(name, this.#scopes, this.#aliases)
    if (target.kind !== 'attachment' || target.part !== 'files')
      throw this.#unknownFile(name, filename)
    const entry = this.#fieldsFor(target.attachment).add(name, '')
    entry.file = await stage(
      this.#context,
      { io, filename, contentType },
      { for: `${this.#model}.${target.attachment}` },
    )
  }

  /** Discards all files that this request staged. */
  async discardStaged(): Promise<void> {
    for (const fields of this.#attachments.values()) await fields.discardStaged()
  }

  #fieldsFor(attachment: string): AttachmentFields {
    const known = this.#attachments.get(attachment)
    if (known !== undefined) return known
    const definition = this.#definitions.get(attachment)
    if (definition === undefined) throw new Error(`There is no attachment ${attachment}.`)
    const fields = new AttachmentFields(attachment, definition)
    this.#attachments.set(attachment, fields)
    return fields
  }

  /** A file that is skipped would be lost, so an unknown name is an error. */
  #unknownFile(name: string, filename: string): InvalidInputError {
    const scope = this.#scopes?.[0]
    const known = [...this.#definitions].map(([attachment, { kind }]) => {
      const full = scope === undefined ? attachment : `${scope}[${attachment}]`
      return kind === 'one' ? full : `${full}[]`
    })
    const flat = scope === undefined ? '' : ' (or without brackets, with scope: null)'
    return new InvalidInputError(
      `The file ${formatValue(name)} is no attachment of ${this.#model}. Name the input ${formatList(known)}${flat}.`,
      { details: { filename: normalizeFilename(filename) } },
    )
  }
}
