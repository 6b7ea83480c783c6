import { InvalidInputError, UnknownAttachmentError } from '../errors.ts'
import { dropUnlinked, type FileRow } from '../staging/file-rows.ts'
import { stageFile } from '../staging/stage.ts'
import { readAttachable, type Attachable } from './attachable.ts'
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
  const [type = '', name = ''] = options.for?.split('.') ?? []
  const definition = models.get(type)?.get(name)
  if (options.for !== undefined && definition === undefined) throw new UnknownAttachmentError(`There is no attachment '${options.for}'.`)
  const details = definition === undefined ? {} : { attachment: name }
  const input = readAttachable(file, details)
  if (input === null || input.kind === 'signed')
    throw new InvalidInputError('stage takes a file with bytes; this is blank, or staged already.', { details })
  const row = await stageFile(await context.store(), input.file, {
    expiresIn: context.expiresIn,
    details,
    limits: definition?.limits ?? { maxSize },
    signal: options.signal,
  })
  return stagedValue(context, row)
}

function stagedValue(context: SlotContext, row: FileRow): StagedFile {
  const signedId = context.verifier.generate(row.id, { purpose: PURPOSE.staged, expiresAt: new Date(row.expiresAt) })
  const discard = async (): Promise<void> => void (await dropUnlinked((await context.store()).session, row.id))
  return new StagedFile(row, signedId, (options) => pendingPath(context, row, options), discard)
}
