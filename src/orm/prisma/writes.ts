import { ConfigurationError } from '../../errors.ts'
import { hasAssigned, stageAssigned, submitAssigned } from '../assigned.ts'
import { boundModel } from '../bound.ts'
import { asRecordId, type RecordId } from '../record-id.ts'
import type { Attached } from './accessors.ts'
import type { Bringing, InTransaction } from './bringing.ts'
import { propertyOf, type Delegate, type Operation } from './client.ts'
import type { Data, Files } from './files.ts'

export interface Args {
  readonly data?: Data
  readonly create?: Data
  readonly update?: Data
  readonly where?: Data
  readonly select?: Data | null
  readonly omit?: Data | null
}
type Row = Record<string, unknown>

const operation = (on: Bringing, { model }: Attached, verb: string): Operation =>
  (on.client[propertyOf(model)] as Delegate)[verb] as Operation

/** Bytes are staged before the library's own transaction begins, so that it is short. */
async function staged(on: Bringing, { definitions }: Attached, { owner }: Files): Promise<void> {
  if (on.open === undefined && hasAssigned(owner))
    await stageAssigned(boundModel(definitions), owner)
}

export async function create(
  on: Bringing,
  found: Attached,
  args: Args,
  files: Files,
): Promise<Row> {
  await staged(on, found, files)
  return on.within((tx) =>
    write(tx, found, 'create', { ...args, data: files.data ?? {} }, (id) =>
      submit(tx, found, files, id, true),
    ),
  )
}

export async function update(
  on: Bringing,
  found: Attached,
  args: Args,
  files: Files,
): Promise<Row> {
  await staged(on, found, files)
  return on.within((tx) =>
    write(tx, found, 'update', { ...args, data: files.data ?? {} }, (id) =>
      submit(tx, found, files, id, false),
    ),
  )
}

/** Prisma does not tell which of the two it did: it is asked to do one. */
export async function upsert(
  on: Bringing,
  found: Attached,
  given: Args,
  created: Files,
  updated: Files,
): Promise<Row> {
  const { create: _create, update: _update, where, ...args } = given
  const find = (at: Bringing): Promise<Row | null> =>
    operation(at, found, 'findUnique')({ where, select: { [found.id]: true } })
  if (on.open === undefined) await staged(on, found, (await find(on)) === null ? created : updated)
  return on.within(async (tx) =>
    (await find(tx)) === null
      ? create(tx, found, args, created)
      : update(tx, found, { ...args, ...(where === undefined ? {} : { where }) }, updated),
  )
}

export async function remove(on: Bringing, found: Attached, args: Args): Promise<Row> {
  return on.within((tx) =>
    write(tx, found, 'delete', args, async (id) =>
      boundModel(found.definitions).record(id, tx.proxy).purgeAllLater(),
    ),
  )
}

async function submit(
  on: InTransaction,
  { definitions }: Attached,
  { owner }: Files,
  id: RecordId,
  isNew: boolean,
): Promise<void> {
  const { open, proxy } = on
  const transaction = {
    tx: proxy,
    chain: [open],
    afterCommit: (done: () => void) => void open.done.push(done),
  }
  await submitAssigned(boundModel(definitions), owner, id, transaction, isNew)
}

/** The id is asked for also where the app does not, which does not get it then. */
async function write(
  tx: Bringing,
  found: Attached,
  verb: string,
  args: Args,
  then: (id: RecordId) => Promise<void>,
): Promise<Row> {
  const { model, id: key } = found
  const { select, omit } = args
  const isHidden = select ? select[key] !== true : omit?.[key] === true
  const asked = select
    ? { ...args, select: { ...select, [key]: true } }
    : isHidden
      ? { ...args, omit: { ...omit, [key]: false } }
      : args
  const row = (await operation(tx, found, verb)(asked)) as Row
  const id = asRecordId(row[key])
  if (id === null)
    throw new ConfigurationError(
      `${model} was written and has no '${key}' that can be told. Say which field is its id: withAttachments({ … }, { ids: { ${model}: '…' } }).`,
    )
  await then(id)
  if (!isHidden) return row
  const { [key]: _hidden, ...rest } = row
  return rest
}
