import { ConfigurationError } from '../../errors/errors.ts'
import { hasPendingFiles, stagePendingFiles, submitPendingFiles } from '../pending-files.ts'
import { requireModel } from '../model-registry.ts'
import { toRecordId, type RecordId } from '../record-id.ts'
import type { ModelWithAttachments } from './accessors.ts'
import type { ClientWithFiles, ClientInTransaction } from './save-client.ts'
import { propertyOf, type Delegate, type DelegateOperation } from './client.ts'
import type { PrismaData, SplitData } from './save-data.ts'

export interface OperationArgs {
  readonly data?: PrismaData
  readonly create?: PrismaData
  readonly update?: PrismaData
  readonly where?: PrismaData
  readonly select?: PrismaData | null
  readonly omit?: PrismaData | null
}
type WrittenRow = Record<string, unknown>

const operationOf = (
  on: ClientWithFiles,
  { model }: ModelWithAttachments,
  verb: string,
): DelegateOperation => (on.client[propertyOf(model)] as Delegate)[verb] as DelegateOperation

/** Bytes are staged before the library's own transaction begins, so that it is short. */
async function stageFiles(
  on: ClientWithFiles,
  { definitions }: ModelWithAttachments,
  { owner }: SplitData,
): Promise<void> {
  if (on.open === undefined && hasPendingFiles(owner))
    await stagePendingFiles(requireModel(definitions), owner)
}

export async function createRecord(
  on: ClientWithFiles,
  found: ModelWithAttachments,
  args: OperationArgs,
  files: SplitData,
): Promise<WrittenRow> {
  await stageFiles(on, found, files)
  return on.within((tx) =>
    writeAndSubmit(tx, found, 'create', { ...args, data: files.data ?? {} }, (id) =>
      submitFiles(tx, found, files, id, true),
    ),
  )
}

export async function updateRecord(
  on: ClientWithFiles,
  found: ModelWithAttachments,
  args: OperationArgs,
  files: SplitData,
): Promise<WrittenRow> {
  await stageFiles(on, found, files)
  return on.within((tx) =>
    writeAndSubmit(tx, found, 'update', { ...args, data: files.data ?? {} }, (id) =>
      submitFiles(tx, found, files, id, false),
    ),
  )
}

/** Prisma does not tell which of the two it did: it is asked to do one. */
export async function upsertRecord(
  on: ClientWithFiles,
  found: ModelWithAttachments,
  given: OperationArgs,
  created: SplitData,
  updated: SplitData,
): Promise<WrittenRow> {
  const { create: _create, update: _update, where, ...args } = given
  const find = (at: ClientWithFiles): Promise<WrittenRow | null> =>
    operationOf(at, found, 'findUnique')({ where, select: { [found.id]: true } })
  if (on.open === undefined)
    await stageFiles(on, found, (await find(on)) === null ? created : updated)
  return on.within(async (tx) =>
    (await find(tx)) === null
      ? createRecord(tx, found, args, created)
      : updateRecord(tx, found, { ...args, ...(where === undefined ? {} : { where }) }, updated),
  )
}

export async function deleteRecord(
  on: ClientWithFiles,
  found: ModelWithAttachments,
  args: OperationArgs,
): Promise<WrittenRow> {
  return on.within((tx) =>
    writeAndSubmit(tx, found, 'delete', args, async (id) =>
      requireModel(found.definitions).record(id, tx.proxy).purgeAllLater(),
    ),
  )
}

async function submitFiles(
  on: ClientInTransaction,
  { definitions }: ModelWithAttachments,
  { owner }: SplitData,
  id: RecordId,
  isNew: boolean,
): Promise<void> {
  const { open, proxy } = on
  const transaction = {
    tx: proxy,
    chain: [open],
    afterCommit: (done: () => void) => void open.done.push(done),
  }
  await submitPendingFiles(requireModel(definitions), owner, id, transaction, isNew)
}

/** The id is asked for also where the app does not, which does not get it then. */
async function writeAndSubmit(
  tx: ClientWithFiles,
  found: ModelWithAttachments,
  verb: string,
  args: OperationArgs,
  then: (id: RecordId) => Promise<void>,
): Promise<WrittenRow> {
  const { model, id: key } = found
  const { select, omit } = args
  const isHidden = select ? select[key] !== true : omit?.[key] === true
  const asked = select
    ? { ...args, select: { ...select, [key]: true } }
    : isHidden
      ? { ...args, omit: { ...omit, [key]: false } }
      : args
  const row = (await operationOf(tx, found, verb)(asked)) as WrittenRow
  const id = toRecordId(row[key])
  if (id === null)
    throw new ConfigurationError(
      `${model} was written and has no '${key}' that can be told. Say which field is its id: withAttachments({ … }, { ids: { ${model}: '…' } }).`,
    )
  await then(id)
  if (!isHidden) return row
  const { [key]: _hidden, ...rest } = row
  return rest
}
