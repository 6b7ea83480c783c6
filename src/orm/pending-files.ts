import { ConfigurationError, InvalidInputError } from '../errors/errors.ts'
import { requireModel, type StorageModel } from './model-registry.ts'
import { forgetPreloaded } from './preloaded.ts'
import { fileKeysOf, refuseHidingFields } from './reserved-members.ts'
import type { RecordId } from './record-id.ts'
import { refuseServerPaths } from './refuse-server-paths.ts'
import { collectUploads } from './save-and-finish.ts'

/** What was assigned to a record and is not committed yet. */
interface PendingFile {
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

const pendingByRecord = new WeakMap<object, Map<string, PendingFile>>()

const pendingFilesOf = (record: object): Map<string, PendingFile> => {
  const found = pendingByRecord.get(record) ?? new Map<string, PendingFile>()
  pendingByRecord.set(record, found)
  return found
}

export function assignFile(
  record: object,
  name: string,
  how: PendingFile['how'],
  input: unknown,
): void {
  refuseServerPaths(name, input)
  pendingFilesOf(record).set(name, {
    how,
    input,
    staging: null,
    isStaged: false,
    submittedIn: null,
    isOpen: () => false,
  })
}

export function readAssignedInput(record: object, name: string, how: PendingFile['how']): unknown {
  const entry = pendingByRecord.get(record)?.get(name)
  return entry?.how === how ? entry.input : undefined
}

/**
 * Takes over what an object literal, or a class with fields of these names, holds as properties of its own: `photoTmp`, and
 * `photo` where it is no attachment's handle. Returns whether anything is assigned. Throws ConfigurationError for an empty field.
 */
export function takeFilesFromProperties(
  names: readonly string[],
  from: object,
  record: object = from,
): boolean {
  if (from === record) refuseHidingFields(record, names)
  for (const name of names)
    for (const [key, how] of [
      [`${name}Tmp`, 'attachLater'],
      [name, 'attach'],
    ] as const) {
      const value: unknown = Object.getOwnPropertyDescriptor(from, key)?.value
      if (value === undefined) continue
      if (readAssignedInput(record, name, how) !== value) assignFile(record, name, how, value)
      // A property would hide the accessor; of a literal it would be taken for a column.
      delete (from as Record<string, unknown>)[key]
    }
  return (pendingByRecord.get(record)?.size ?? 0) > 0
}

/** Takes over what a literal of the app's holds, and gives the rest, which is the ORM's. The literal keeps what it holds. */
export function takeFilesFromLiteral(
  names: readonly string[],
  given: object,
  record: object,
): Record<string, unknown> {
  const rest: Record<string, unknown> = { ...given }
  takeFilesFromProperties(names, rest, record)
  // What is undefined was not given; no ORM would know it.
  for (const key of fileKeysOf(names)) delete rest[key]
  return rest
}

/** Throws ConfigurationError for files that a call would drop: `instead` says what brings them along. */
export function refuseFiles(
  verb: string,
  attachments: object,
  values: unknown,
  instead: string,
): void {
  const keys = fileKeysOf(Object.keys(attachments))
  for (const each of [values].flat()) {
    if (typeof each !== 'object' || each === null) continue
    const key = keys.find((name) => Object.hasOwn(each, name))
    if (key === undefined && !hasPendingFiles(each)) continue
    throw new ConfigurationError(
      `${verb} of ${requireModel(attachments).type} does not take ${key ?? 'the files that were assigned'}: it would be dropped. Use ${instead}, which brings files along.`,
    )
  }
}

export const hasPendingFiles = (record: object): boolean =>
  (pendingByRecord.get(record)?.size ?? 0) > 0

/** Before the transaction begins: bytes are staged on a connection of the pool, so that it is short. */
export async function stagePendingFiles(model: StorageModel, record: object): Promise<void> {
  for (const [name, entry] of pendingByRecord.get(record) ?? []) {
    if (entry.isStaged) continue
    if (entry.isOpen()) throw savedTwiceError(model, name)
    entry.staging ??= model.stage(name, entry.input)
    try {
      entry.input = await entry.staging
      entry.isStaged = true
    } finally {
      entry.staging = null
    }
  }
}

const savedTwiceError = ({ type }: StorageModel, name: string): ConfigurationError =>
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
  readonly isActive?: () => boolean
}

/**
 * Submits what was assigned to a record, in its transaction. It stays assigned until that is committed: a record that is saved
 * again after a rollback brings its files again.
 */
export async function submitPendingFiles(
  model: StorageModel,
  record: object,
  id: RecordId | null,
  transaction: RecordTransaction,
  isNew: boolean,
): Promise<void> {
  if (id === null)
    throw new InvalidInputError(
      `${model.type} was saved and has no id that can be told: its primary key must be one column, a number or text. Its files cannot be attached.`,
    )
  const entries = [...(pendingByRecord.get(record) ?? [])].filter(
    ([, { submittedIn }]) => submittedIn === null || !transaction.chain.includes(submittedIn),
  )
  if (entries.length === 0 && !isNew) return
  for (const [name, entry] of entries)
    if (!entry.isStaged && (entry.staging !== null || entry.isOpen()))
      throw savedTwiceError(model, name)
  const inputs = (how: PendingFile['how']): Record<string, unknown> =>
    Object.fromEntries(
      entries.filter(([, entry]) => entry.how === how).map(([name, { input }]) => [name, input]),
    )
  const handle = model.record(
    id,
    transaction.tx,
    undefined,
    collectUploads(transaction.chain, model),
  )
  forgetPreloaded(record)
  const [direct, later] = [inputs('attach'), inputs('attachLater')]
  const { isActive: isOpen = () => false } = transaction
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
    const now = pendingByRecord.get(record)
    for (const [name, entry] of entries) if (now?.get(name) === entry) now.delete(name)
  })
}
