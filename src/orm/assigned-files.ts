import { ConfigurationError, InvalidInputError } from '../errors/errors.ts'
import { requireModel, type StorageModel } from './model-registry.ts'
import { isObject, toList } from './object-guards.ts'
import { forgetPreloaded } from './preloaded.ts'
import type { RecordId } from './record-id.ts'
import { refuseServerPaths } from './refuse-server-paths.ts'
import { fileKeysOf, refuseHidingFields } from './reserved-members.ts'
import { collectUploads } from './save-and-wait.ts'

/** 'attach': assigned as `photo = file`; 'attachLater': as `photoTmp = file`. */
type AssignedAs = 'attach' | 'attachLater'

/** An input that was assigned to a record, and that no committed transaction has submitted yet. */
interface AssignedFile {
  readonly how: AssignedAs
  input: unknown
  /** The staging that runs now: a second save of the record waits for the same one. */
  staging: Promise<unknown> | null
  /**
   * true: `input` is staged. A staged file is attached once, however often it is submitted; bytes
   * are not.
   */
  isStaged: boolean
  /** The token of the transaction that submitted it last. */
  submittedIn: object | null
  /** Returns whether that transaction may still be committed. */
  isActive: () => boolean
}

const never = (): boolean => false

const assignedByRecord = new WeakMap<object, Map<string, AssignedFile>>()

function ensureAssignedFiles(record: object): Map<string, AssignedFile> {
  const found = assignedByRecord.get(record) ?? new Map<string, AssignedFile>()
  assignedByRecord.set(record, found)
  return found
}

/**
 * Assigns an input to a record until it is saved, in place of one assigned before. Throws
 * InvalidInputError for a path.
 */
export function assignFile(record: object, name: string, how: AssignedAs, input: unknown): void {
  refuseServerPaths(name, input)
  ensureAssignedFiles(record).set(name, {
    how,
    input,
    staging: null,
    isStaged: false,
    submittedIn: null,
    isActive: never,
  })
}

/** Returns the input that was assigned to a record in this way, and is not committed yet. */
export function readAssignedInput(record: object, name: string, how: AssignedAs): unknown {
  const file = assignedByRecord.get(record)?.get(name)
  return file?.how === how ? file.input : undefined
}

/** Returns whether a record has assigned files that are not committed yet. */
export const hasAssignedFiles = (record: object): boolean =>
  (assignedByRecord.get(record)?.size ?? 0) > 0

/**
 * Takes files out of the own properties of an object literal, or of a record whose class has fields
 * of these names, and assigns them to `record`: `photoTmp`, and `photo` where it is not the
 * accessor. Returns whether the record has files now. Throws ConfigurationError for a field that
 * has no value and hides an accessor.
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
      // The property of a record would hide the accessor; an ORM would take that of a literal for a
      // column.
      Reflect.deleteProperty(from, key)
    }
  return hasAssignedFiles(record)
}

/**
 * Assigns the files of an app's literal to a record and returns a copy without them, for the ORM.
 */
export function takeFilesFromLiteral(
  names: readonly string[],
  given: object,
  record: object,
): Record<string, unknown> {
  const rest: Record<string, unknown> = { ...given }
  takeFilesFromProperties(names, rest, record)
  // A key whose value is undefined was not taken above, and no ORM knows it.
  for (const key of fileKeysOf(names)) delete rest[key]
  return rest
}

/**
 * Throws ConfigurationError for files in the values of a call that would drop them. `verb` names
 * the call, `instead` the one to use.
 */
export function refuseFiles(
  verb: string,
  attachments: object,
  values: unknown,
  instead: string,
): void {
  const keys = fileKeysOf(Object.keys(attachments))
  for (const each of toList(values)) {
    if (!isObject(each)) continue
    const key = keys.find((name) => Object.hasOwn(each, name))
    if (key === undefined && !hasAssignedFiles(each)) continue
    throw new ConfigurationError(
      `${verb} of ${requireModel(attachments).type} would drop ${key ?? 'the assigned files'}. Use ${instead}, which saves files.`,
    )
  }
}

/**
 * Stages the assigned files of a record before its transaction begins, on a connection of the pool, so that
 * the transaction is short.
 */
export async function stageAssignedFiles(model: StorageModel, record: object): Promise<void> {
  for (const [name, file] of assignedByRecord.get(record) ?? []) {
    if (file.isStaged) continue
    if (file.isActive()) throw savedTwiceError(model, name)
    file.staging ??= model.stage(name, file.input)
    try {
      file.input = await file.staging
      file.isStaged = true
    } finally {
      file.staging = null
    }
  }
}

const savedTwiceError = ({ type }: StorageModel, name: string): ConfigurationError =>
  new ConfigurationError(
    `${type}: the file for ${name} is being saved in another transaction too, and would be attached twice. Save a record in one at a time, or assign what storage.stage(file) returns.`,
  )

/** The transaction in which an ORM saves a record. */
export interface RecordTransaction {
  /** The ORM's own transaction object, as `Database.join` takes it. */
  readonly tx: unknown
  /**
   * Tokens of the transaction and of those around it, innermost first. A file is submitted once in
   * all of them.
   */
  readonly chain: readonly object[]
  /** Calls `done` when the outermost transaction is committed. */
  afterCommit(done: () => void): void
  /**
   * Returns whether the first of `chain` may still be committed. Left out if the ORM does not say.
   */
  readonly isActive?: () => boolean
}

/** A record that an ORM has just written, in the open transaction. */
export interface SavedRecord {
  /** null: the id cannot be read. */
  readonly id: RecordId | null
  /** Whether the record was inserted: then its `required` attachments are checked. */
  readonly isNew: boolean
  readonly transaction: RecordTransaction
}

/**
 * Submits the assigned files of a record in its transaction. They stay assigned until it is committed, so
 * that a record that is saved again after a rollback submits them again. Throws InvalidInputError
 * for a record without an id, ConfigurationError for bytes that another open transaction submitted.
 */
export async function submitAssignedFiles(
  model: StorageModel,
  record: object,
  { id, isNew, transaction }: SavedRecord,
): Promise<void> {
  if (id === null)
    throw new InvalidInputError(
      `${model.type} was saved, but its id cannot be read, so its files cannot be attached. Its primary key must be one column, a number or text.`,
    )
  const files = findFilesToSubmit(model, record, transaction)
  if (files.size === 0 && !isNew) return
  const handle = model.record(id, transaction.tx, {
    onSubmitted: collectUploads(transaction.chain, model),
  })
  forgetPreloaded(record)
  const [direct, delayed] = [inputsOf(files, 'attach'), inputsOf(files, 'attachLater')]
  markSubmitted(files, transaction.chain[0] ?? null, transaction.isActive ?? never)
  try {
    if (Object.keys(direct).length > 0) await handle.attach(direct)
    if (isNew || Object.keys(delayed).length > 0) await handle.attachLater(delayed)
  } catch (error) {
    markSubmitted(files, null, never)
    throw error
  }
  transaction.afterCommit(() => {
    const now = assignedByRecord.get(record)
    for (const [name, file] of files) if (now?.get(name) === file) now.delete(name)
  })
}

type AssignedByName = ReadonlyMap<string, AssignedFile>

/** Finds the files of a record that no transaction of this chain has submitted. */
function findFilesToSubmit(
  model: StorageModel,
  record: object,
  { chain }: RecordTransaction,
): AssignedByName {
  const files = new Map<string, AssignedFile>()
  for (const [name, file] of assignedByRecord.get(record) ?? []) {
    if (file.submittedIn !== null && chain.includes(file.submittedIn)) continue
    if (!file.isStaged && (file.staging !== null || file.isActive()))
      throw savedTwiceError(model, name)
    files.set(name, file)
  }
  return files
}

const inputsOf = (files: AssignedByName, how: AssignedAs): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    [...files].flatMap(([name, file]) => (file.how === how ? [[name, file.input]] : [])),
  )

function markSubmitted(
  files: AssignedByName,
  submittedIn: object | null,
  isActive: () => boolean,
): void {
  for (const file of files.values()) {
    file.submittedIn = submittedIn
    file.isActive = isActive
  }
}
