import { TOKEN_PURPOSE } from './signed-tokens.ts'
import type { AttachmentDefinition, StorageContext } from './context.ts'
import { InvalidInputError, UnknownAttachmentError, type ErrorDetails } from '../errors/errors.ts'
import { dropUnlinkedFile, type FileRow } from '../staging/file-rows.ts'
import { formatValue } from '../errors/message.ts'
import { checkFileCount } from '../staging/limits.ts'
import { stageIncomingFile } from '../staging/stage.ts'
import { readAttachable, type Attachable, type AttachableInput } from './attachable.ts'
import { readChanges } from './changes.ts'
import { pendingPath, type PathOptions } from './paths.ts'
import { rememberStagedFile, StagedFile } from './staged-file.ts'

export interface StageOptions {
  readonly signal?: AbortSignal
  /** `Model.attachment`, whose limits apply. */
  readonly for?: string
}

/** `storage.stage`. */
export async function stage(
  context: StorageContext,
  file: Attachable,
  options: StageOptions,
): Promise<StagedFile> {
  const [type = '', name = ''] = typeof options.for === 'string' ? options.for.split('.') : []
  const definition = context.models.get(type)?.get(name)
  if (options.for !== undefined && definition === undefined)
    throw new UnknownAttachmentError(`There is no attachment ${formatValue(options.for)}.`)
  const details = definition === undefined ? {} : { attachment: name }
  const input = await readAttachable(file, details)
  if (input === null || input.kind !== 'bytes')
    throw new InvalidInputError(
      'stage takes a file with bytes; this is blank, or staged already.',
      { details },
    )
  return stageBytes(
    context,
    definition?.limits ?? { maxSize: context.maxSize },
    input.file,
    details,
    options.signal,
  )
}

async function stageBytes(
  context: StorageContext,
  limits: AttachmentDefinition['limits'],
  file: Parameters<typeof stageIncomingFile>[1],
  details: ErrorDetails,
  signal?: AbortSignal,
): Promise<StagedFile> {
  const row = await stageIncomingFile(await context.store(), file, {
    expiresIn: context.expiresIn,
    details,
    limits,
    signal,
  })
  return toStagedFile(context, row)
}

/** What a slot takes, with its bytes staged: `input` as it is, where it has none. */
export async function stageInput(
  context: StorageContext,
  definition: AttachmentDefinition,
  name: string,
  input: unknown,
): Promise<unknown> {
  const { kind } = definition
  const details = { attachment: name }
  const { files, deletedIds, cleanBefore } = readChanges(input, kind, details)
  // Of several files for a has-one the last one is taken, as at its submission.
  // Each is read once: a stream can be handed over once.
  const read: { readonly file: unknown; readonly input: AttachableInput }[] = []
  for (const file of files) {
    const input = await readAttachable(file, details)
    if (input !== null) read.push({ file, input })
  }
  const given = kind === 'one' ? read.slice(-1) : read
  checkFileCount(given.length, definition.maxFiles, details)
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

function toStagedFile(context: StorageContext, row: FileRow): StagedFile {
  const signedId = context.verifier.generate(row.id, {
    purpose: TOKEN_PURPOSE.staged,
    expiresAt: new Date(row.expiresAt),
  })
  const discard = async (): Promise<void> =>
    void (await dropUnlinkedFile((await context.store()).session, row.id))
  const path = (options?: PathOptions): string => pendingPath(context, row, options)
  const file = new StagedFile(row, signedId, path, discard)
  rememberStagedFile(file, context, row.id)
  return file
}
