import type { Awaitable } from '../async/awaitable.ts'
import type { ManyInput, OneInput } from '../attached/attachable.ts'
import type { AnyAttachments, HookContext, HookFile } from '../attached/definitions.ts'
import type { AttachedByName } from '../attached/record.ts'
import type { DelayedUpload } from '../attached/values.ts'
import { ConfigurationError, InvalidInputError, type ActiveStorageError } from '../errors/errors.ts'
import { assignFile, readAssignedInput } from './pending-files.ts'
import { requireModel } from './model-registry.ts'
import { findPreloaded } from './preloaded.ts'
import type { RecordId } from './record-id.ts'

interface SingleDefinition {
  readonly kind: 'one'
}

/** `photoTmp = file`: attached in the background, when the record is saved. */
export type DelayedInputs<D> = {
  [K in keyof D & string as `${K}Tmp`]?: D[K] extends SingleDefinition ? OneInput : ManyInput
}
export type DelayedUploadMethods<D> = {
  [K in keyof D & string as `${K}DelayedUploads`]: () => Promise<DelayedUpload[]>
}

/** What `withAttachments` gives the records of a class. */
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
    context: HookContext,
  ) => Awaitable<void>
}

/** A class; what mixins take. */
// oxlint-disable-next-line typescript/no-explicit-any -- TypeScript's own rule for a mixin's constructor (TS2545)
export type Constructor<T = object> = new (...args: any[]) => T

interface Mixin {
  readonly definitions: AnyAttachments
  readonly identity: RecordIdentity<never>
}
const mixins = new WeakMap<object, Mixin>()

/** Of whichever class of a record, or of a class, has attachments. */
function findMixin(given: object): Mixin | null {
  for (
    let at: unknown = typeof given === 'function' ? given : given.constructor;
    typeof at === 'function';
    at = Object.getPrototypeOf(at)
  ) {
    const found = mixins.get(at)
    if (found !== undefined) return found
  }
  return null
}

/** The attachments of a record or of a class. null: it has none. */
export const definitionsOf = (given: object): AnyAttachments | null =>
  findMixin(given)?.definitions ?? null

/** null: it is not saved yet, or has no attachments. */
export const idOfRecord = (record: object): RecordId | null =>
  findMixin(record)?.identity.idOf(record as never) ?? null

/** How an ORM's record is met. */
export interface RecordIdentity<R extends object> {
  /** null: it has none yet. */
  idOf(record: R): RecordId | null
  /** The open transaction that the record itself knows it is in. */
  transactionOf?(record: R): unknown
}

/** Accessors on the prototype, so that records hold no property of ours: ORMs, JSON and Object.keys see columns alone. */
export function mixInAttachments<D extends AnyAttachments, B extends Constructor>(
  definitions: D,
  base: B,
  identity: RecordIdentity<InstanceType<B>>,
): B & Constructor<WithAttachments<D>> {
  const lost = Object.keys(definitionsOf(base) ?? {}).find(
    (name) => !Object.hasOwn(definitions, name),
  )
  if (lost !== undefined)
    throw new ConfigurationError(
      `${base.name} has attachments already, and '${lost}' is not among those given here: its files would be dropped. Name all of them in one object.`,
    )
  const Mixed = class extends base {}
  mixins.set(Mixed, { definitions, identity })
  const slotOf = (
    record: InstanceType<B>,
    name: string,
  ): { delayedUploads(): Promise<DelayedUpload[]> } | undefined => {
    const model = requireModel(definitions)
    const id = identity.idOf(record)
    if (id === null)
      throw new InvalidInputError(
        `This ${model.type} is not saved yet, so that nothing is attached to it: assign to ${name}Tmp or ${name}, and save it.`,
      )
    const transaction = identity.transactionOf?.(record)
    const handle = model.record(id, transaction, findPreloaded(record, transaction))
    return (handle as unknown as Record<string, { delayedUploads(): Promise<DelayedUpload[]> }>)[
      name
    ]
  }
  const hidden = { configurable: true, enumerable: false }
  for (const name of Object.keys(definitions)) {
    Object.defineProperty(Mixed.prototype, name, {
      ...hidden,
      get(this: InstanceType<B>) {
        return slotOf(this, name)
      },
      set(this: InstanceType<B>, input: unknown) {
        assignFile(this, name, 'attach', input)
      },
    })
    Object.defineProperty(Mixed.prototype, `${name}Tmp`, {
      ...hidden,
      get(this: InstanceType<B>) {
        return readAssignedInput(this, name, 'attachLater')
      },
      set(this: InstanceType<B>, input: unknown) {
        assignFile(this, name, 'attachLater', input)
      },
    })
    Object.defineProperty(Mixed.prototype, `${name}DelayedUploads`, {
      ...hidden,
      value(this: InstanceType<B>) {
        return slotOf(this, name)?.delayedUploads()
      },
    })
  }
  return Mixed as unknown as B & Constructor<WithAttachments<D>>
}
