import type { AttachmentDefinition, StorageContext } from '../../attached/context.ts'
import type { Models } from '../../attached/definitions.ts'
import type { FilesByName } from '../../attached/record.ts'
import { stage } from '../../attached/stage.ts'
import {
  ActiveStorageError,
  InvalidInputError,
  UnknownAttachmentError,
} from '../../errors/errors.ts'
import { formatList, formatValue } from '../../errors/message.ts'
import { formatFile } from '../../errors/public-message.ts'
import { checkOptions } from '../../options/check-options.ts'
import {
  addEntry,
  discardStagedFiles,
  dropSurplus,
  toAttachInput,
  createAttachmentFields,
  type AttachmentFields,
} from './attachment-fields.ts'
import { stripFolders, sanitizePath } from './filenames.ts'
import { discardHiddenFields, listHiddenFields, type HiddenField } from './hidden-fields.ts'
import { checkRequest, type FormRequest } from '../request-body.ts'
import { discardBody } from '../discard-body.ts'
import type { FormLimits } from './limits.ts'
import { readForm } from './read-form.ts'
import { listAliases, scopesOf, parseFieldName } from './field-names.ts'
import { assertSignedIdAllowed } from './signed-ids.ts'
import { createFormValues } from './form-values.ts'

/** Of `storage.parseForm`. */
export interface ParseFormOptions<N extends string = string> {
  /** Whose attachments the form's files are for. */
  readonly model: N
  /** `user[photo]`; null for flat names. Default: the model's name, lower camel or snake. */
  readonly scope?: string | null
  readonly limits?: FormLimits
  /**
   * Whether files keep the folders that they were sent with, as inputs with `webkitdirectory` send them: '2023/a.txt' instead
   * of 'a.txt'. Always a path below where it is put, with `/`. Default: false.
   */
  readonly preservePath?: boolean
}

/** A form that was read. */
export interface ParsedForm<D> {
  /**
   * Everything that is not a file of the model, without the model's name: `user[name]` is `name`. `user[tags][]` is a list;
   * of a name that comes twice the last one counts, as in Rails.
   */
  readonly values: Readonly<Record<string, string | readonly string[] | undefined>>
  /** Staged, limits of each attachment already applied; hand it to attachLater. */
  readonly files: FilesByName<D>
  /** The files as hidden fields, for a form that is shown again: nobody has to choose them twice. */
  readonly hidden: readonly HiddenField[]
  /**
   * Gives up the files that this request staged, and those that its hidden fields name and nobody submitted. Only for a form
   * that is not shown again: what it sends then would be gone. Stored files stay.
   */
  discard(): Promise<void>
}

/** A type of its own, so that what takes a storage knows its models. */
export interface ParseForm<M extends Models> {
  <N extends keyof M & string>(
    request: FormRequest,
    options: ParseFormOptions<N>,
  ): Promise<ParsedForm<M[N]>>
}

/** `storage.parseForm`. */
export async function parseForm(
  context: StorageContext,
  request: FormRequest,
  options: ParseFormOptions,
): Promise<ParsedForm<unknown>> {
  checkRequest(request)
  try {
    return await readParsedForm(context, request, options)
  } catch (error) {
    await discardBody(
      request,
      error instanceof ActiveStorageError ? error.statusCode : 500,
      context.afterRefusal,
    )
    throw error
  }
}

async function readParsedForm(
  context: StorageContext,
  request: FormRequest,
  options: ParseFormOptions,
): Promise<ParsedForm<unknown>> {
  checkOptions(options, ['model', 'scope', 'limits', 'preservePath'], 'parseForm')
  checkOptions(
    options.limits ?? {},
    ['fields', 'files', 'fieldSize', 'fieldsSize', 'depth'],
    'parseForm: limits',
  )
  const { model, scope } = options
  const nameOf = options.preservePath === true ? sanitizePath : stripFolders
  const slots = context.models.get(model)
  if (slots === undefined)
    throw new UnknownAttachmentError(
      `There is no model '${model}'; there are ${formatList([...context.models.keys()])}.`,
    )
  const scopes = scope === null ? null : scope === undefined ? scopesOf(model) : [scope]
  const aliases = listAliases(slots.keys())
  const values = createFormValues()
  const bySlot = new Map<string, AttachmentFields>()
  const collectedOf = (
    slot: string,
  ): { collected: AttachmentFields; definition: AttachmentDefinition } => {
    const collected = bySlot.get(slot) ?? createAttachmentFields()
    bySlot.set(slot, collected)
    return { collected, definition: slots.get(slot) as AttachmentDefinition }
  }
  try {
    await readForm(request, options.limits ?? {}, {
      field(name, value) {
        const target = parseFieldName(name, scopes, aliases)
        if (target.kind === 'value') return values.add(target, value)
        const { attachment: slot, part } = target
        const { collected, definition } = collectedOf(slot)
        if (part === 'cleanBefore') collected.cleanBefore = value
        else if (part === 'deletedIds') collected.deletedIds.push(value)
        else if (value !== '') addEntry(collected, definition, slot, name, value)
      },
      async file({ name, filename: sent, contentType, io }) {
        const filename = nameOf(sent)
        const target = parseFieldName(name, scopes, aliases)
        if (target.kind !== 'attachment' || target.part !== 'files')
          throw unknownFileError(name, filename, model, scopes, slots)
        const { collected, definition } = collectedOf(target.attachment)
        const entry = addEntry(collected, definition, target.attachment, name, '')
        entry.file = await stage(
          context,
          { io, filename, contentType },
          { for: `${model}.${target.attachment}` },
        )
      },
    })
    for (const [slot, { entries }] of bySlot)
      for (const { file } of entries)
        if (typeof file === 'string') await assertSignedIdAllowed(context, request, slot, file)
  } catch (error) {
    await discardStagedFiles(bySlot.values())
    if (error instanceof ActiveStorageError) error.values = values.toObject()
    throw error
  }
  const files: Record<string, unknown> = {}
  const hidden: HiddenField[] = []
  for (const slot of bySlot.keys()) {
    const { collected, definition } = collectedOf(slot)
    await dropSurplus(collected, definition)
    const input = toAttachInput(collected, definition)
    if (input !== undefined) files[slot] = input
    hidden.push(...(await listHiddenFields(context, collected)))
  }
  return {
    values: values.toObject(),
    files: files as FilesByName<unknown>,
    hidden,
    async discard() {
      await discardStagedFiles(bySlot.values())
      await discardHiddenFields(context, bySlot.values())
    },
  }
}

/** Leaving it out would lose a file that somebody sent. */
function unknownFileError(
  name: string,
  filename: string,
  model: string,
  scopes: readonly string[] | null,
  slots: ReadonlyMap<string, AttachmentDefinition>,
): InvalidInputError {
  const known = [...slots].map(([slot, { kind }]) => {
    const full = scopes === null ? slot : `${scopes[0] ?? ''}[${slot}]`
    return kind === 'one' ? full : `${full}[]`
  })
  return new InvalidInputError(
    `The form has a file ${formatValue(name)}, which is no attachment of ${model}. Its inputs are called ${formatList(known)}${scopes === null ? '' : ' (or without brackets, with scope: null)'}.`,
    {
      details: { filename },
      publicMessage: `${formatFile({ filename })} was not expected here. Reload the page and try again.`,
    },
  )
}
