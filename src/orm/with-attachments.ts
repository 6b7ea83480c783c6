import type { Awaitable } from '../async/awaitable.ts'
import type { ManyInput, OneInput } from '../attached/attachable.ts'
import type {
  AnyAttachments,
  ErrorHookContext,
  HookContext,
  HookFile,
} from '../attached/definitions.ts'
import type { AttachedByName } from '../attached/record.ts'
import type { DelayedUpload } from '../attached/values.ts'
import { ConfigurationError, InvalidInputError, type ActiveStorageError } from '../errors/errors.ts'
import { requireModel } from './model-registry.ts'
import { hasMethod, prototypesOf } from './object-guards.ts'
import { assignFile, readAssignedInput } from './assigned-files.ts'
import { findPreloaded } from './preloaded.ts'
import type { RecordId } from './record-id.ts'

interface SingleDefinition {
  readonly kind: 'one'
}

/** `photoTmp = file`: the file is attached in the background, when the record is saved. */
export type DelayedInputs<D> = {
  [K in keyof D & string as `${K}Tmp`]?: D[K] extends SingleDefinition ? OneInput : ManyInput
}

/** `photoDelayedUploads()`: the uploads that are pending or failed. */
export type DelayedUploadMethods<D> = {
  [K in keyof D & string as `${K}DelayedUploads`]: () => Promise<DelayedUpload[]>
}

/** Members that `withAttachments` adds to the records of a class. */
export type WithAttachments<D> = AttachedByName<D> & DelayedInputs<D> & DelayedUploadMethods<D>

/**
 * Hooks as methods of the class; all optional. They are called on a freshly loaded record.
 *
 * @example
 * const { withAttachments } = await import('activestorage-delayed/typeorm')
 * class User extends withAttachments(userAttachments) implements AttachmentHooks<typeof userAttachments> {
 *   photoErrorUpload(error: Error) {
 *     console.warn(error.message)
 *   }
 * }
 * type AttachmentHooks<D> = import('activestorage-delayed').AttachmentHooks<D>
 */
export type AttachmentHooks<D> = {
  [K in keyof D & string as `${K}Filename`]?: (filename: string) => Awaitable<string>
} & {
  [K in keyof D & string as `${K}AfterUpload`]?: (
    file: HookFile,
    context: HookContext,
  ) => Awaitable<void>
} & {
  [K in keyof D & string as `${K}AfterUploadAll`]?: (context: HookContext) => Awaitable<void>
} & {
  [K in keyof D & string as `${K}ErrorUpload`]?: (
    error: ActiveStorageError,
    file: HookFile,
    context: ErrorHookContext,
  ) => Awaitable<void>
}

/** A class that can be extended: the argument and the result of mixins. */
// oxlint-disable-next-line typescript/no-explicit-any -- TypeScript's own rule for a mixin's constructor (TS2545)
export type Constructor<T = object> = new (...args: any[]) => T

/** Reads the id and the open transaction of an ORM's record. */
export interface RecordIdentity<R extends object> {
  /** Reads the id of a record. null: it is not saved yet. */
  idOf(record: R): RecordId | null
  /** Returns the transaction that the record was read or saved in, while it is open. */
  transactionOf?(record: R): unknown
}

interface Mixin {
  readonly definitions: AnyAttachments
  readonly identity: RecordIdentity<object>
}
const mixins = new WeakMap<object, Mixin>()

/**
 * Finds the mixin on a class, or on the class of a record, or on an ancestor. null: none has
 * attachments.
 */
function findMixin(classOrRecord: object): Mixin | null {
  const type = typeof classOrRecord === 'function' ? classOrRecord : classOrRecord.constructor
  // A record that inherits from nothing has no constructor.
  if (typeof type !== 'function') return null
  for (const each of prototypesOf(type)) {
    const found = mixins.get(each)
    if (found !== undefined) return found
  }
  return null
}

/** Finds the attachments of a class, or of the class of a record. null: it has none. */
export const definitionsOf = (classOrRecord: object): AnyAttachments | null =>
  findMixin(classOrRecord)?.definitions ?? null

/** Reads the id of a record. null: it is not saved yet, or its class has no attachments. */
export const idOfRecord = (record: object): RecordId | null =>
  findMixin(record)?.identity.idOf(record) ?? null

/**
 * Throws ConfigurationError if a class that extends another one leaves out attachments of that one.
 */
function refuseLostAttachments(definitions: AnyAttachments, base: Constructor): void {
  const lost = Object.keys(definitionsOf(base) ?? {}).find(
    (name) => !Object.hasOwn(definitions, name),
  )
  if (lost !== undefined)
    throw new ConfigurationError(
      `${base.name} has attachments already, and the object given here lacks '${lost}': its files would be dropped. Name all of them in one object.`,
    )
}

/**
 * Extends a class by accessors for its attachments. They are on the prototype, so that ORMs, JSON
 * and Object.keys see a record's columns only. Throws ConfigurationError if attachments of `base`
 * are missing in `definitions`.
 */
export function mixInAttachments<D extends AnyAttachments, B extends Constructor>(
  definitions: D,
  base: B,
  identity: RecordIdentity<InstanceType<B>>,
): B & Constructor<WithAttachments<D>>
export function mixInAttachments(
  definitions: AnyAttachments,
  base: Constructor,
  identity: RecordIdentity<object>,
): Constructor {
  refuseLostAttachments(definitions, base)
  const Mixed = class extends base {}
  mixins.set(Mixed, { definitions, identity })
  for (const name of Object.keys(definitions))
    defineAccessors(Mixed.prototype, name, (record) =>
      readAttached(definitions, identity, record, name),
    )
  return Mixed
}

/**
 * Returns the handle of one attachment of a record, as `storage.record(…)` has it. Throws
 * InvalidInputError before the first save.
 */
function readAttached(
  definitions: AnyAttachments,
  identity: RecordIdentity<object>,
  record: object,
  name: string,
): unknown {
  const model = requireModel(definitions)
  const id = identity.idOf(record)
  if (id === null)
    throw new InvalidInputError(
      `This ${model.type} is not saved yet, so nothing is attached to it. Assign to ${name}Tmp or ${name}, and save it.`,
    )
  const transaction = identity.transactionOf?.(record)
  const preloaded = findPreloaded(record, transaction)
  return Reflect.get(model.record(id, transaction, { preloaded }), name)
}

function defineAccessors(prototype: object, name: string, read: (record: object) => unknown): void {
  const hidden = { configurable: true, enumerable: false }
  Object.defineProperty(prototype, name, {
    ...hidden,
    get(this: object) {
      return read(this)
    },
    set(this: object, input: unknown) {
      assignFile(this, name, 'attach', input)
    },
  })
  Object.defineProperty(prototype, `${name}Tmp`, {
    ...hidden,
    get(this: object) {
      return readAssignedInput(this, name, 'attachLater')
    },
    set(this: object, input: unknown) {
      assignFile(this, name, 'attachLater', input)
    },
  })
  Object.defineProperty(prototype, `${name}DelayedUploads`, {
    ...hidden,
    value(this: object): unknown {
      const attached = read(this)
      return hasMethod(attached, 'delayedUploads') ? attached.delayedUploads() : undefined
    },
  })
}
