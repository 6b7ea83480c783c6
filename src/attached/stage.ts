import { InvalidInputError, UnknownAttachmentError, type ErrorDetails } from '../errors.ts'
import { dropUnlinked, type FileRow } from '../staging/file-rows.ts'
import { shown } from '../message.ts'
import { checkCount } from '../staging/limits.ts'
import { stageFile } from '../staging/stage.ts'
import { readAttachable, type Attachable, type Input } from './attachable.ts'
import { readChanges } from './changes.ts'
import { PURPOSE } from './context.ts'
import type { SlotContext, SlotDefinition } from './scope.ts'
import { pendingPath } from './paths.ts'
import { StagedFile } from './staged-file.ts'

export interface StageOptions {
  readonly signal?: AbortSignal
  /** `Model.attachment`, whose limits apply. */
  readonly for?: string
}

/** `storage.stage`. */
export async function stage(
  context: SlotContext,
  models: ReadonlyMap<string, ReadonlyMap<string, SlotDefinition>>,
  maxSize: number | undefined,
  file: Attachable,
  options: StageOptions,
): Promise<StagedFile> {
  const [type = '', name = ''] = typeof options.for === 'string' ? options.for.split('.') : []
  const definition = models.get(type)?.get(name)
  if (options.for !== undefined && definition === undefined)
    throw new UnknownAttachmentError(`There is no attachment ${shown(options.for)}.`)
  const details = definition === undefined ? {} : { attachment: name }
  const input = await readAttachable(file, details)
  if (input === null || input.kind === 'signed')
    throw new InvalidInputError(
      'stage takes a file with bytes; this is blank, or staged already.',
      { details },
    )
  return stageBytes(context, definition?.limits ?? { maxSize }, input.file, details, options.signal)
}

async function stageBytes(
  context: SlotContext,
  limits: SlotDefinition['limits'],
  file: Parameters<typeof stageFile>[1],
  details: ErrorDetails,
  signal?: AbortSignal,
): Promise<StagedFile> {
  const row = await stageFile(await context.store(), file, {
    expiresIn: context.expiresIn,
    details,
    limits,
    signal,
  })
  return stagedValue(context, row)
}

/** What a slot takes, with its bytes staged: `input` as it is, where it has none. */
export async function stageInput(
  context: SlotContext,
  definition: SlotDefinition,
  name: string,
  input: unknown,
): Promise<unknown> {
  const { kind } = definition
  const details = { attachment: name }
  const { files, deletedIds, cleanBefore } = readChanges(input, kind, details)
  // Of several files for a has-one the last one is taken, as at its submission.
  // Each is read once: a stream can be handed over once.
  const read: { readonly file: unknown; readonly input: Input }[] = []
  for (const file of files) {
    const input = await readAttachable(file, details)
    if (input !== null) read.push({ file, input })
  }
  const given = kind === 'one' ? read.slice(-1) : read
  checkCount(given.length, definition.maxFiles, details)
  const all: unknown[] = []
  const own: StagedFile[] = []
  try {
    for (const { file, input } of given) {
      if (input.kind !== 'bytes') all.push(file)
      else
        all.push(
          own[own.push(await stageBytes(context, definition.limits, input.file, details)) - 1],
        )
    }
  } catch (error) {
    for (const staged of own) await staged.discard()
    throw error
  }
  return kind === 'one' ? (all[0] ?? null) : { files: all, deletedIds, cleanBefore }
}

function stagedValue(context: SlotContext, row: FileRow): StagedFile {
  const signedId = context.verifier.generate(row.id, {
    purpose: PURPOSE.staged,
    expiresAt: new Date(row.expiresAt),
  })
  const discard = async (): Promise<void> =>
    void (await dropUnlinked((await context.store()).session, row.id))
  return new StagedFile(row, signedId, (options) => pendingPath(context, row, options), discard)
}
