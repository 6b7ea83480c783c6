import type { Models } from '../../attached/definitions.ts'
import type { Files } from '../../attached/record.ts'
import type { SlotDefinition } from '../../attached/scope.ts'
import { stage } from '../../attached/stage.ts'
import { ActiveStorageError, InvalidInputError, UnknownAttachmentError } from '../../errors.ts'
import { listText, shown } from '../../message.ts'
import { fileText } from '../../public-message.ts'
import { checkOptions } from '../../options.ts'
import type { HttpContext } from '../context.ts'
import {
  addEntry,
  discardStaged,
  dropSurplus,
  inputOf,
  nothingCollected,
  type Collected,
} from './collected.ts'
import { bareFilename, pathFilename } from './filenames.ts'
import { discardHidden, hiddenOf, type HiddenField } from './hidden.ts'
import { checkRequest, type FormRequest } from '../body.ts'
import { readOn } from '../read-on.ts'
import type { FormLimits } from './limits.ts'
import { readMultipart } from './multipart.ts'
import { aliasesOf, scopesOf, targetOf } from './names.ts'
import { allowSigned } from './signed-ids.ts'
import { formValues } from './values.ts'

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
  readonly files: Files<D>
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
  context: HttpContext,
  request: FormRequest,
  options: ParseFormOptions,
): Promise<ParsedForm<unknown>> {
  checkRequest(request)
  try {
    return await read(context, request, options)
  } catch (error) {
    await readOn(
      request,
      error instanceof ActiveStorageError ? error.statusCode : 500,
      context.afterRefusal,
    )
    throw error
  }
}

async function read(
  context: HttpContext,
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
  const nameOf = options.preservePath === true ? pathFilename : bareFilename
  const slots = context.models.get(model)
  if (slots === undefined)
    throw new UnknownAttachmentError(
      `There is no model '${model}'; there are ${listText([...context.models.keys()])}.`,
    )
  const scopes = scope === null ? null : scope === undefined ? scopesOf(model) : [scope]
  const aliases = aliasesOf(slots.keys())
  const values = formValues()
  const bySlot = new Map<string, Collected>()
  const collectedOf = (slot: string): { collected: Collected; definition: SlotDefinition } => {
    const collected = bySlot.get(slot) ?? nothingCollected()
    bySlot.set(slot, collected)
    return { collected, definition: slots.get(slot) as SlotDefinition }
  }
  try {
    await readMultipart(request, options.limits ?? {}, {
      field(name, value) {
        const target = targetOf(name, scopes, aliases)
        if (target.kind === 'value') return values.add(target, value)
        const { slot, part } = target
        const { collected, definition } = collectedOf(slot)
        if (part === 'cleanBefore') collected.cleanBefore = value
        else if (part === 'deletedIds') collected.deletedIds.push(value)
        else if (value !== '') addEntry(collected, definition, slot, name, value)
      },
      async file({ name, filename: sent, contentType, io }) {
        const filename = nameOf(sent)
        const target = targetOf(name, scopes, aliases)
        if (target.kind !== 'attachment' || target.part !== 'files')
          throw unknownFile(name, filename, model, scopes, slots)
        const { collected, definition } = collectedOf(target.slot)
        const entry = addEntry(collected, definition, target.slot, name, '')
        entry.file = await stage(
          context,
          context.models,
          context.maxSize,
          { io, filename, contentType },
          { for: `${model}.${target.slot}` },
        )
      },
    })
    for (const [slot, { entries }] of bySlot)
      for (const { file } of entries)
        if (typeof file === 'string') await allowSigned(context, request, slot, file)
  } catch (error) {
    await discardStaged(bySlot.values())
    if (error instanceof ActiveStorageError) error.values = values.all()
    throw error
  }
  const files: Record<string, unknown> = {}
  const hidden: HiddenField[] = []
  for (const slot of bySlot.keys()) {
    const { collected, definition } = collectedOf(slot)
    await dropSurplus(collected, definition)
    const input = inputOf(collected, definition)
    if (input !== undefined) files[slot] = input
    hidden.push(...(await hiddenOf(context, collected)))
  }
  return {
    values: values.all(),
    files: files as Files<unknown>,
    hidden,
    async discard() {
      await discardStaged(bySlot.values())
      await discardHidden(context, bySlot.values())
    },
  }
}

/** Leaving it out would lose a file that somebody sent. */
function unknownFile(
  name: string,
  filename: string,
  model: string,
  scopes: readonly string[] | null,
  slots: ReadonlyMap<string, SlotDefinition>,
): InvalidInputError {
  const known = [...slots].map(([slot, { kind }]) => {
    const full = scopes === null ? slot : `${scopes[0] ?? ''}[${slot}]`
    return kind === 'one' ? full : `${full}[]`
  })
  return new InvalidInputError(
    `The form has a file ${shown(name)}, which is no attachment of ${model}. Its inputs are called ${listText(known)}${scopes === null ? '' : ' (or without brackets, with scope: null)'}.`,
    {
      details: { filename },
      publicMessage: `${fileText({ filename })} was not expected here. Reload the page and try again.`,
    },
  )
}
