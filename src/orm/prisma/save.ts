import { ConfigurationError } from '../../errors/errors.ts'
import { requireModel } from '../model-registry.ts'
import { hasAssignedFiles, stageAssignedFiles, submitAssignedFiles } from '../assigned-files.ts'
import { toRecordId, type RecordId } from '../record-id.ts'
import type { PrismaModel } from './bind.ts'
import { requireOperation, type AnyClient } from './client.ts'
import type { PrismaData, SplitData } from './save-data.ts'
import type { PrismaTransaction } from './transactions.ts'

/** A client, or one of its transactions, whose writes save files. */
export interface ClientWithFiles {
  /** Prisma's own client. */
  readonly client: AnyClient
  /** The client that the app has. */
  readonly proxy: AnyClient
  readonly models: readonly PrismaModel[]
  /** undefined: it is the client itself, outside of a transaction. */
  readonly open: PrismaTransaction | undefined
  /** Runs in the transaction that is open, else in a new one. */
  within<T>(run: (on: ClientInTransaction) => Promise<T>): Promise<T>
}

/** A client of a transaction whose writes save files. */
export type ClientInTransaction = ClientWithFiles & { readonly open: PrismaTransaction }

/** The arguments of an operation that the library reads. */
export interface OperationArgs {
  readonly data?: PrismaData
  readonly create?: PrismaData
  readonly update?: PrismaData
  readonly where?: PrismaData
  readonly select?: PrismaData | null
  readonly omit?: PrismaData | null
}

type WrittenRow = Record<string, unknown>

/** Stages bytes before the library's own transaction begins, so that it is short. */
async function stageFiles(
  on: ClientWithFiles,
  { definitions }: PrismaModel,
  { owner }: SplitData,
): Promise<void> {
  if (on.open === undefined && hasAssignedFiles(owner))
    await stageAssignedFiles(requireModel(definitions), owner)
}

/** Creates or updates a record and submits its files, in one transaction. */
export async function saveRecord(
  on: ClientWithFiles,
  found: PrismaModel,
  verb: 'create' | 'update',
  args: OperationArgs,
  files: SplitData,
): Promise<WrittenRow> {
  await stageFiles(on, found, files)
  return on.within((tx) =>
    writeAndSubmit(tx, found, verb, { ...args, data: files.data ?? {} }, (id) =>
      submitFiles(tx, found, files, { id, isNew: verb === 'create' }),
    ),
  )
}

/**
 * Upserts a record and submits its files, in one transaction. Prisma's own upsert does not say
 * whether it created the record, so the record is looked for first.
 */
export async function upsertRecord(
  on: ClientWithFiles,
  found: PrismaModel,
  given: OperationArgs,
  files: { readonly create: SplitData; readonly update: SplitData },
): Promise<WrittenRow> {
  const { create: _create, update: _update, where, ...args } = given
  const find = (at: ClientWithFiles): Promise<WrittenRow | null> =>
    requireOperation(at.client, found.model, 'findUnique')({ where, select: { [found.id]: true } })
  if (on.open === undefined)
    await stageFiles(on, found, (await find(on)) === null ? files.create : files.update)
  return on.within(async (tx) =>
    (await find(tx)) === null
      ? saveRecord(tx, found, 'create', args, files.create)
      : saveRecord(tx, found, 'update', { ...args, ...(where && { where }) }, files.update),
  )
}

/** Deletes a record and purges its attachments later, in one transaction. */
export async function deleteRecord(
  on: ClientWithFiles,
  found: PrismaModel,
  args: OperationArgs,
): Promise<WrittenRow> {
  return on.within((tx) =>
    writeAndSubmit(tx, found, 'delete', args, (id) =>
      requireModel(found.definitions).record(id, tx.proxy).purgeAllLater(),
    ),
  )
}

async function submitFiles(
  { open, proxy }: ClientInTransaction,
  { definitions }: PrismaModel,
  { owner }: SplitData,
  { id, isNew }: { readonly id: RecordId; readonly isNew: boolean },
): Promise<void> {
  const transaction = {
    tx: proxy,
    chain: [open],
    afterCommit: (done: () => void) => open.level.afterCommit(done),
  }
  await submitAssignedFiles(requireModel(definitions), owner, { id, isNew, transaction })
}

/**
 * Writes a record, then calls `submit` with its id. The id is selected also where the app does not,
 * and left out of the result.
 */
async function writeAndSubmit(
  tx: ClientWithFiles,
  { model, id: key }: PrismaModel,
  verb: string,
  args: OperationArgs,
  submit: (id: RecordId) => Promise<void>,
): Promise<WrittenRow> {
  const { select, omit } = args
  const isHidden = select ? select[key] !== true : omit?.[key] === true
  const withId = select
    ? { ...args, select: { ...select, [key]: true } }
    : isHidden
      ? { ...args, omit: { ...omit, [key]: false } }
      : args
  const row = (await requireOperation(tx.client, model, verb)(withId)) ?? {}
  const id = toRecordId(row[key])
  if (id === null)
    throw new ConfigurationError(
      `${model} was written, but its '${key}' is no id. Name the field that is: withAttachments({ … }, { ids: { ${model}: '…' } }).`,
    )
  await submit(id)
  if (!isHidden) return row
  const { [key]: _hidden, ...rest } = row
  return rest
}
