import { ConfigurationError, InvalidInputError } from '../errors.ts'
import { boundModel, type BoundModel } from './bound.ts'
import { forgetLoaded } from './loaded.ts'
import { fileKeys, refuseFields } from './fields.ts'
import type { RecordId } from './record-id.ts'
import { refusePaths } from './refuse-paths.ts'
import { collectInto } from './save-and-finish.ts'

/** What was assigned to a record and is not committed yet. */
interface Assigned {
  /** 'attach': as `photo = file`; 'attachLater': as `photoTmp = file`. */
  readonly how: 'attach' | 'attachLater'
  input: unknown
  /** While its bytes are being staged, for whoever saves the record. */
  staging: Promise<unknown> | null
  /** A staged file is attached once, however often it is submitted. Bytes are not. */
  isStaged: boolean
  /** The transaction that it was submitted in. */
  submittedIn: object | null
  /** Whether that is still going on. */
  isOpen: () => boolean
}

const assigned = new WeakMap<object, Map<string, Assigned>>()

const entriesOf = (record: object): Map<string, Assigned> => {
  const found = assigned.get(record) ?? new Map<string, Assigned>()
  assigned.set(record, found)
  return found
}

export function assign(record: object, name: string, how: Assigned['how'], input: unknown): void {
  refusePaths(name, input)
  entriesOf(record).set(name, {
    how,
    input,
    staging: null,
    isStaged: false,
    submittedIn: null,
    isOpen: () => false,
  })
}

export function assignedTo(record: object, name: string, how: Assigned['how']): unknown {
  const entry = assigned.get(record)?.get(name)
  return entry?.how === how ? entry.input : undefined
}

/**
 * Takes over what an object literal, or a class with fields of these names, holds as properties of its own: `photoTmp`, and
 * `photo` where it is no attachment's handle. Returns whether anything is assigned. Throws ConfigurationError for an empty field.
 */
export function takeAssigned(
  names: readonly string[],
  from: object,
  record: object = from,
): boolean {
  if (from === record) refuseFields(record, names)
  for (const name of names)
    for (const [key, how] of [
      [`${name}Tmp`, 'attachLater'],
      [name, 'attach'],
    ] as const) {
      const value: unknown = Object.getOwnPropertyDescriptor(from, key)?.value
      if (value === undefined) continue
      if (assignedTo(record, name, how) !== value) assign(record, name, how, value)
      // A property would hide the accessor; of a literal it would be taken for a column.
      delete (from as Record<string, unknown>)[key]
    }
  return (assigned.get(record)?.size ?? 0) > 0
}

/** Takes over what a literal of the app's holds, and gives the rest, which is the ORM's. The literal keeps what it holds. */
export function takeFiles(
  names: readonly string[],
  given: object,
  record: object,
): Record<string, unknown> {
  const rest: Record<string, unknown> = { ...given }
  takeAssigned(names, rest, record)
  // What is undefined was not given; no ORM would know it.
  for (const key of fileKeys(names)) delete rest[key]
  return rest
}

/** Throws ConfigurationError for files that a call would drop: `instead` says what brings them along. */
export function refuseFiles(
  verb: string,
  attachments: object,
  values: unknown,
  instead: string,
): void {
  const keys = fileKeys(Object.keys(attachments))
  for (const each of [values].flat()) {
    if (typeof each !== 'object' || each === null) continue
    const key = keys.find((name) => Object.hasOwn(each, name))
    if (key === undefined && !hasAssigned(each)) continue
    throw new ConfigurationError(
      `${verb} of ${boundModel(attachments).type} does not take ${key ?? 'the files that were assigned'}: it would be dropped. Use ${instead}, which brings files along.`,
    )
  }
}

export const hasAssigned = (record: object): boolean => (assigned.get(record)?.size ?? 0) > 0

/** Before the transaction begins: bytes are staged on a connection of the pool, so that it is short. */
export async function stageAssigned(model: BoundModel, record: object): Promise<void> {
  for (const [name, entry] of assigned.get(record) ?? []) {
    if (entry.isStaged) continue
    if (entry.isOpen()) throw givenOnce(model, name)
    entry.staging ??= model.stage(name, entry.input)
    try {
      entry.input = await entry.staging
      entry.isStaged = true
    } finally {
      entry.staging = null
    }
  }
}

const givenOnce = ({ type }: BoundModel, name: string): ConfigurationError =>
  new ConfigurationError(
    `${type}: what was given for ${name} is being saved in another transaction, and would be attached twice. Save a record in one at a time, or give each what storage.stage(file) returns.`,
  )

/** A transaction as an ORM hands it over. */
export interface RecordTransaction {
  /** As `Database.join` takes it. */
  readonly tx: unknown
  /** The transaction, and those that it is nested in: what was submitted in one of them is not submitted again. */
  readonly chain: readonly object[]
  /** Calls `done` when the outermost has been committed. */
  afterCommit(done: () => void): void
  /** Whether what is done in the first of `chain`, from now on, may still be committed. */
  readonly isOpen?: () => boolean
}

/**
 * Submits what was assigned to a record, in its transaction. It stays assigned until that is committed: a record that is saved
 * again after a rollback brings its files again.
 */
export async function submitAssigned(
  model: BoundModel,
  record: object,
  id: RecordId | null,
  transaction: RecordTransaction,
  isNew: boolean,
): Promise<void> {
  if (id === null)
    throw new InvalidInputError(
      `${model.type} was saved and has no id that can be told: its primary key must be one column, a number or text. Its files cannot be attached.`,
    )
  const entries = [...(assigned.get(record) ?? [])].filter(
    ([, { submittedIn }]) => submittedIn === null || !transaction.chain.includes(submittedIn),
  )
  if (entries.length === 0 && !isNew) return
  for (const [name, entry] of entries)
    if (!entry.isStaged && (entry.staging !== null || entry.isOpen())) throw givenOnce(model, name)
  const inputs = (how: Assigned['how']): Record<string, unknown> =>
    Object.fromEntries(
      entries.filter(([, entry]) => entry.how === how).map(([name, { input }]) => [name, input]),
    )
  const handle = model.record(id, transaction.tx, undefined, collectInto(transaction.chain, model))
  forgetLoaded(record)
  const [direct, later] = [inputs('attach'), inputs('attachLater')]
  const { isOpen = () => false } = transaction
  for (const [, entry] of entries)
    Object.assign(entry, { submittedIn: transaction.chain[0] ?? null, isOpen })
  try {
    if (Object.keys(direct).length > 0) await handle.attach(direct as never)
    if (isNew || Object.keys(later).length > 0) await handle.attachLater(later as never)
  } catch (error) {
    for (const [, entry] of entries)
      Object.assign(entry, { submittedIn: null, isOpen: () => false })
    throw error
  }
  transaction.afterCommit(() => {
    const now = assigned.get(record)
    for (const [name, entry] of entries) if (now?.get(name) === entry) now.delete(name)
  })
}
