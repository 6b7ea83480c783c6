import type { StorageContext } from '../../attached/context.ts'
import type { Models } from '../../attached/definitions.ts'
import type { FilesByName } from '../../attached/record.ts'
import { ActiveStorageError, UnknownAttachmentError } from '../../errors/errors.ts'
import { formatList } from '../../errors/message.ts'
import { checkOptions } from '../../options/check-options.ts'
import { discardBody } from '../discard-body.ts'
import { checkRequest, type FormRequest } from '../request-body.ts'
import type { AttachmentInput } from './attachment-fields.ts'
import { FormCollector } from './form-collector.ts'
import { discardHiddenFields, listHiddenFields, type HiddenField } from './hidden-fields.ts'
import type { FormLimits } from './limits.ts'
import { readForm } from './read-form.ts'
import { assertSignedIdAllowed } from './signed-ids.ts'

/** Options of `storage.parseForm`. */
export interface ParseFormOptions<N extends string = string> {
  /** Name of the model whose attachments the files are for. */
  readonly model: N
  /**
   * Name before the brackets, as 'user' in `user[photo]`. null: names have no brackets. Default:
   * the model's name in lower camel case or snake case.
   */
  readonly scope?: string | null
  /** Limits of the whole form. Each file has the limits of its attachment. */
  readonly limits?: FormLimits
  /**
   * Keeps the folders of files from inputs with `webkitdirectory`: '2023/a.txt' instead of 'a.txt'.
   * The path always stays below the folder that it is written to, and has `/` as separator.
   * Default: false.
   */
  readonly preservePath?: boolean
  /**
   * Stops reading: files that are staged already are discarded, and parseForm rejects with the
   * signal's reason.
   */
  readonly signal?: AbortSignal
}

/** Result of `storage.parseForm`. */
export interface ParsedForm<D> {
  /**
   * All fields that are not files of the model, without the model's name: `user[name]` is `name`.
   * `user[tags][]` is a list. The last value counts for a name that occurs twice, as in Rails.
   */
  readonly values: Readonly<Record<string, string | readonly string[] | undefined>>
  /** Staged files, checked against the limits of their attachments; input for `attachLater`. */
  readonly files: FilesByName<D>
  /** Hidden fields for a form that is shown again: its visitor need not choose the files twice. */
  readonly hidden: readonly HiddenField[]
  /**
   * Discards the files that this request staged, and files of its hidden fields that no form has
   * submitted. Stored files stay. Do not call it when the form is shown again, because its hidden
   * fields would name files that are gone.
   */
  discard(): Promise<void>
}

/**
 * The function `storage.parseForm`. It has a type of its own, so that a function which takes it
 * knows the storage's models.
 */
export interface ParseForm<M extends Models> {
  <N extends keyof M & string>(
    request: FormRequest,
    options: ParseFormOptions<N>,
  ): Promise<ParsedForm<M[N]>>
}

/** Implements `storage.parseForm`. */
export async function parseForm(
  context: StorageContext,
  request: FormRequest,
  options: ParseFormOptions,
): Promise<ParsedForm<unknown>> {
  checkRequest(request)
  try {
    const collector = createCollector(context, options)
    await collectForm(context, request, collector, options)
    return await createParsedForm(context, collector)
  } catch (error) {
    const status = error instanceof ActiveStorageError ? error.statusCode : 500
    await discardBody(request, status, context.afterRefusal, options.signal)
    throw error
  }
}

function createCollector(context: StorageContext, options: ParseFormOptions): FormCollector {
  checkOptions(options, ['model', 'scope', 'limits', 'preservePath', 'signal'], 'parseForm')
  checkOptions(
    options.limits ?? {},
    ['fields', 'files', 'fieldSize', 'fieldsSize', 'depth'],
    'parseForm: limits',
  )
  const { model, scope, preservePath = false } = options
  const definitions = context.models.get(model)
  if (definitions === undefined)
    throw new UnknownAttachmentError(
      `There is no model '${model}'; there are ${formatList([...context.models.keys()])}.`,
    )
  return new FormCollector(context, definitions, { model, scope, preservePath })
}

/**
 * Reads the form. Discards on an error all that was staged, and adds the values that were read to
 * the error.
 */
async function collectForm(
  context: StorageContext,
  request: FormRequest,
  collector: FormCollector,
  { limits = {}, signal }: ParseFormOptions,
): Promise<void> {
  try {
    await readForm(request, limits, collector, signal)
    for (const { attachment, entries } of collector.attachments)
      for (const { file } of entries)
        if (typeof file === 'string') {
          signal?.throwIfAborted()
          await assertSignedIdAllowed(context, request, attachment, file)
        }
  } catch (error) {
    await collector.discardStaged()
    if (error instanceof ActiveStorageError)
      Object.defineProperty(error, 'values', { value: collector.values.toObject(), writable: true })
    throw error
  }
}

async function createParsedForm(
  context: StorageContext,
  collector: FormCollector,
): Promise<ParsedForm<unknown>> {
  const files: Record<string, AttachmentInput> = {}
  const hidden: HiddenField[] = []
  for (const fields of collector.attachments) {
    await fields.dropSurplus()
    const input = fields.toInput()
    if (input !== undefined) files[fields.attachment] = input
    hidden.push(...(await listHiddenFields(context, fields)))
  }
  return {
    values: collector.values.toObject(),
    // The names of attachments are data here; `storage.parseForm` has them in its type.
    files: files as FilesByName<unknown>,
    hidden,
    async discard() {
      await collector.discardStaged()
      await discardHiddenFields(context, collector.attachments)
    },
  }
}
