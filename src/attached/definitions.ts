import type { Awaitable } from '../async/awaitable.ts'
import { ConfigurationError, type ActiveStorageError } from '../errors/errors.ts'
import { checkOptions } from '../options/check-options.ts'
import type { Transformation } from '../images/image-processor.ts'
import { checkTransformation } from '../images/image-processor.ts'
import { isSafeKey } from '../services/object-key.ts'
import { parseSize, type Size } from '../options/units.ts'
import { findAcceptError } from './accept.ts'
import type { Attachment, DelayedUpload, RecordRef } from './values.ts'

/** The file argument of hooks. */
export interface HookFile {
  readonly filename: string
  readonly contentType: string
  /** Bytes. */
  readonly byteSize: number
  /** null: no key is chosen yet. */
  readonly key: string | null
  /** The attachment, once the file is attached. */
  readonly attachment: Attachment | null
}

/** The last argument of `afterUpload` and `afterUploadAll`. */
export interface HookContext {
  /** The upload that the hook runs for. */
  readonly upload: DelayedUpload
  /** Number of this round; the first is 1. A hook that throws runs again in the next of three. */
  readonly round: number
}

/** The last argument of `errorUpload`. */
export interface ErrorHookContext {
  /** The upload that failed. */
  readonly upload: DelayedUpload
  /** Number of the attempt that failed; the first is 1. */
  readonly attempt: number
  /** Time of the next attempt. null: there will be none. */
  readonly retryAt: Date | null
}

/** Options of `hasOneAttached`: those of the gem, and limits. */
export interface HasOneOptions<R> {
  /**
   * true: `attachLater` of a form throws AttachmentRequiredError if no file is attached, pending or
   * failed. Default false.
   */
  readonly required?: boolean
  /**
   * Accepted content types, such as 'image/png' or 'image/*', by any of their names. They are
   * identified from the bytes. Default: all. A known misspelling, such as 'image/jpg', is a
   * ConfigurationError.
   */
  readonly accept?: readonly `${string}/${string}`[]
  /** Default: `staging.maxSize`. */
  readonly maxSize?: Size
  /** A name of `services`. Default: the storage's default service. */
  readonly service?: string
  /** Folder of the object keys, such as one per tenant. */
  readonly keyPrefix?: string | ((record: R) => string)
  /**
   * true: key and filename are `{id}-{name}-{seconds}.{ext}`, the gem's default rule. A function
   * returns them. They are always made safe and unique.
   */
  readonly useFilename?: boolean | ((record: R, filename: string) => Awaitable<string>)
  /**
   * Transformation before the upload; the original is not kept (the gem's `variant_info`). Needs
   * `images`.
   */
  readonly variantInfo?: Transformation
  /**
   * Runs after each file is attached, at least once. An error is logged, and the hook runs again;
   * the file stays attached.
   */
  readonly afterUpload?: (record: R, file: HookFile, context: HookContext) => Awaitable<void>
  /** Runs after all files of a submission are attached, at least once. */
  readonly afterUploadAll?: (record: R, context: HookContext) => Awaitable<void>
  /** Runs after each failed attempt of a file. */
  readonly errorUpload?: (
    record: R,
    error: ActiveStorageError,
    file: HookFile,
    context: ErrorHookContext,
  ) => Awaitable<void>
}

/** Options of `hasManyAttached`. */
export interface HasManyOptions<R> extends HasOneOptions<R> {
  /** Limit of attached, pending and new files together. Default: none. */
  readonly maxFiles?: number
}

declare const recordType: unique symbol

/**
 * Base of definitions. Opaque, so that a constraint does not change what was inferred for an inline
 * definition.
 */
export interface HasAttached<in R> {
  readonly kind: 'one' | 'many'
  readonly [recordType]: (record: R) => void
}
/** Result of `hasOneAttached`. */
export interface HasOneAttached<in R> extends HasAttached<R> {
  readonly kind: 'one'
}
/** Result of `hasManyAttached`. */
export interface HasManyAttached<in R> extends HasAttached<R> {
  readonly kind: 'many'
}

/**
 * Attachments of one model: `{ … } satisfies Attachments<User>` gives all hooks their record's
 * type.
 */
export type Attachments<R> = Readonly<Record<string, HasAttached<R>>>
/** Attachments of any model, by name. */
export type AnyAttachments = Readonly<Record<string, { readonly kind: 'one' | 'many' }>>
/** Attachments by model. The names of models are the values of Rails' column `record_type`. */
export type Models = Readonly<Record<string, AnyAttachments>>

type AttachmentRecord<A> = A extends { readonly [recordType]: (record: infer R) => void }
  ? (r: R) => void
  : never
/** The type of record that all hooks of one model accept: the intersection of their parameters. */
export type RecordOf<D> = [AttachmentRecord<D[keyof D]>] extends [(record: infer R) => void]
  ? R
  : never
/** Names of models whose hooks need more of a record than its type and id. */
export type NeedsRecord<M> = {
  [N in keyof M]: RecordRef extends RecordOf<M[N]> ? never : N
}[keyof M]

/** The options of any attachment. */
export type AnyAttachedOptions = HasManyOptions<never>
/** The options by definition. A WeakMap keeps the definition opaque. */
const optionsByDefinition = new WeakMap<object, AnyAttachedOptions>()

const SHARED_OPTIONS = [
  'required',
  'accept',
  'maxSize',
  'service',
  'keyPrefix',
  'useFilename',
  'variantInfo',
  'afterUpload',
  'afterUploadAll',
  'errorUpload',
]

/**
 * Defines an attachment of one file, as Rails' `has_one_attached` with the gem's `delayed_attach`.
 * Throws ConfigurationError on an unknown or malformed option.
 *
 * @example
 * const userAttachments = { photo: hasOneAttached({ required: true, maxSize: '10 MB' }) }
 */
export function hasOneAttached<R = unknown>(given: HasOneOptions<R> = {}): HasOneAttached<R> {
  return defineAttached(
    'one',
    'hasOneAttached',
    given as AnyAttachedOptions,
    SHARED_OPTIONS,
  ) as HasOneAttached<R>
}

/**
 * Defines an attachment of many files, as Rails' `has_many_attached` with the gem's
 * `delayed_attach`. Throws ConfigurationError on an unknown or malformed option.
 *
 * @example
 * const projectAttachments = { documents: hasManyAttached({ accept: ['application/pdf'], maxFiles: 20 }) }
 */
export function hasManyAttached<R = unknown>(given: HasManyOptions<R> = {}): HasManyAttached<R> {
  return defineAttached('many', 'hasManyAttached', given as AnyAttachedOptions, [
    ...SHARED_OPTIONS,
    'maxFiles',
  ]) as HasManyAttached<R>
}

/**
 * Finds the options of a definition. null: `hasOneAttached` and `hasManyAttached` did not make it.
 */
export function findOptions(definition: object): AnyAttachedOptions | null {
  return optionsByDefinition.get(definition) ?? null
}

function defineAttached(
  kind: 'one' | 'many',
  maker: string,
  given: AnyAttachedOptions,
  allowed: readonly string[],
): object {
  const wrong = (text: string): ConfigurationError => new ConfigurationError(`${maker}: ${text}`)
  checkOptions(given, allowed, maker)
  for (const hook of ['afterUpload', 'afterUploadAll', 'errorUpload'] as const)
    if (given[hook] !== undefined && typeof given[hook] !== 'function')
      throw wrong(`${hook} must be a function.`)
  if (given.required !== undefined && typeof given.required !== 'boolean')
    throw wrong('required must be true or false.')
  if (
    given.useFilename !== undefined &&
    !['boolean', 'function'].includes(typeof given.useFilename)
  )
    throw wrong('useFilename must be true, false, or a function that returns the name.')
  if (given.keyPrefix !== undefined && !['string', 'function'].includes(typeof given.keyPrefix))
    throw wrong('keyPrefix must be text, or a function that returns it.')
  if (given.maxSize !== undefined) parseSize(given.maxSize, `maxSize of ${maker}`)
  if (given.maxFiles !== undefined && !(Number.isInteger(given.maxFiles) && given.maxFiles > 0))
    throw wrong(`maxFiles is ${String(given.maxFiles)}: give a whole number above 0.`)
  const wrongTypes = given.accept === undefined ? null : findAcceptError(given.accept)
  if (wrongTypes !== null) throw wrong(wrongTypes)
  if (
    typeof given.keyPrefix === 'string' &&
    given.keyPrefix !== '' &&
    !isSafeKey(given.keyPrefix.replace(/\/+$/, ''))
  )
    throw wrong(
      `keyPrefix is ${JSON.stringify(given.keyPrefix)}: it must be relative, without empty, '.' or '..' segments.`,
    )
  if (given.variantInfo !== undefined)
    checkTransformation(given.variantInfo, `variantInfo of ${maker}`)
  const definition = Object.freeze({ kind })
  optionsByDefinition.set(definition, { ...given })
  return definition
}
