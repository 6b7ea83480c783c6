import { TOKEN_PURPOSE } from './signed-tokens.ts'
import type { AttachmentDefinition, StorageContext } from './context.ts'
import { InvalidInputError, UnknownAttachmentError, type ErrorDetails } from '../errors/errors.ts'
import type { FileRow } from '../staging/file-rows.ts'
import { dropUnlinkedFile } from '../staging/file-transitions.ts'
import { formatList, formatValue } from '../errors/message.ts'
import { checkFileCount } from '../staging/limits.ts'
import { stageIncomingFile } from '../staging/stage.ts'
import { readAttachable, type Attachable, type AttachableInput } from './attachable.ts'
import { readChanges } from './changes.ts'
import { pendingPath, type PathOptions } from './paths.ts'
import { rememberStagedFile, StagedFile } from './staged-file.ts'

/** Options of `storage.stage`. */
export interface StageOptions {
  readonly signal?: AbortSignal
  /**
   * The attachment whose limits apply, such as 'User.photo'. Default: only `staging.maxSize`
   * applies.
   */
  readonly for?: string
}

/**
 * Implements `storage.stage`: stores a file's bytes in the database. Throws UnknownAttachmentError
 * and InvalidInputError.
 */
export async function stage(
  context: StorageContext,
  file: Attachable,
  options: StageOptions,
): Promise<StagedFile> {
  const [type = '', name = ''] = typeof options.for === 'string' ? options.for.split('.') : []
  const definition = context.models.get(type)?.get(name)
  if (options.for !== undefined && definition === undefined)
    throw new UnknownAttachmentError(
      `There is no attachment ${formatValue(options.for)}; there are ${formatList(listAttachments(context))}.`,
    )
  const details = definition === undefined ? {} : { attachment: name }
  const input = await readAttachable(file, details)
  if (input === null || input.kind !== 'bytes')
    throw new InvalidInputError(
      'stage takes a file with bytes; this one is empty, or staged already.',
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

const listAttachments = ({ models }: StorageContext): string[] =>
  [...models].flatMap(([type, definitions]) =>
    [...definitions.keys()].map((name) => `${type}.${name}`),
  )

async function stageBytes(
  context: StorageContext,
  limits: AttachmentDefinition['limits'],
  file: Parameters<typeof stageIncomingFile>[1],
  details: ErrorDetails,
  signal?: AbortSignal,
): Promise<StagedFile> {
  // The file's id is signed at the end, when its bytes would be kept already.
  context.verifier.assertSecret()
  const row = await stageIncomingFile(await context.store(), file, {
    expiresIn: context.expiresIn,
    details,
    limits,
    signal,
  })
  return toStagedFile(context, row)
}

/**
 * Stages the bytes of an attachment's input before a record is saved. Returns input that has staged
 * files instead.
 */
export async function stageInput(
  context: StorageContext,
  definition: AttachmentDefinition,
  name: string,
  input: unknown,
): Promise<unknown> {
  const { kind } = definition
  const details = { attachment: name }
  const { files, deletedIds, cleanBefore } = readChanges(input, kind, details)
  // A has-one takes the last of several files, as `attachLater` does. Each file is read once,
  // because it may be a stream.
  const read: { readonly file: unknown; readonly input: AttachableInput }[] = []
  for (const file of files) {
    const input = await readAttachable(file, details)
    if (input !== null) read.push({ file, input })
  }
  const given = kind === 'one' ? read.slice(-1) : read
  checkFileCount(given.length, definition.maxFiles, details)
  const result: unknown[] = []
  const stagedHere: StagedFile[] = []
  try {
    for (const { file, input } of given) {
      if (input.kind !== 'bytes') {
        result.push(file)
        continue
      }
      const staged = await stageBytes(context, definition.limits, input.file, details)
      stagedHere.push(staged)
      result.push(staged)
    }
  } catch (error) {
    for (const staged of stagedHere) await staged.discard()
    throw error
  }
  return kind === 'one' ? (result[0] ?? null) : { files: result, deletedIds, cleanBefore }
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
