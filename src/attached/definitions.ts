import type { Awaitable } from '../async/awaitable.ts'
import { ConfigurationError, type ActiveStorageError } from '../errors/errors.ts'
import { checkOptions } from '../options/check-options.ts'
import type { Transformation } from '../images/image-processor.ts'
import { checkTransformation } from '../images/image-processor.ts'
import { isSafeKey } from '../services/object-key.ts'
import { parseSize, type Size } from '../options/units.ts'
import { findAcceptError } from './accept.ts'
import type { Attachment, DelayedUpload, RecordRef } from './values.ts'

/** A file as hooks see it. */
export interface HookFile {
  readonly filename: string
  readonly contentType: string
  /** Bytes. */
  readonly byteSize: number
  /** null: not chosen yet. */
  readonly key: string | null
  readonly attachment: Attachment | null
}

/** What a hook is told beside record and file. */
export interface HookContext {
  readonly upload: DelayedUpload
  /** Counts from 1. */
  readonly attempt: number
  /** null: no further attempt. */
  readonly retryAt: Date | null
}

/** Options of an attachment; the gem's, and those that every app needs. */
export interface AttachedOptions<R> {
  /** Neither attached, pending nor failed-and-kept is an AttachmentRequiredError. Default false. */
  readonly required?: boolean
  /**
   * Content types, identified from the bytes, such as 'image/png' or 'image/*'; any name of a type will do. Default: all.
   * A known misspelling, such as 'image/jpg', is a ConfigurationError.
   */
  readonly accept?: readonly `${string}/${string}`[]
  /** Default: `staging.maxSize`, else no limit. */
  readonly maxSize?: Size
  /** One of `services`; the default one when absent. */
  readonly service?: string
  /** Comes before every object key, with `/`: a folder, or one per tenant. */
  readonly keyPrefix?: string | ((record: R) => string)
  /** true: key and filename are `{id}-{name}-{seconds}.{ext}`, the gem's default rule; a function: what it returns. Always made safe and unique. */
  readonly useFilename?: boolean | ((record: R, filename: string) => Awaitable<string>)
  /** Done once, before the upload; the original is not kept (the gem's `variant_info`). Needs `images`. */
  readonly variantInfo?: Transformation
  /** After each file was attached; at least once each. What it throws is reported and told again, and undoes nothing. */
  readonly afterUpload?: (record: R, file: HookFile, context: HookContext) => Awaitable<void>
  /** After all files of a submission were attached; at least once. */
  readonly afterUploadAll?: (record: R, context: HookContext) => Awaitable<void>
  /** After each failed attempt of a file. */
  readonly errorUpload?: (
    record: R,
    error: ActiveStorageError,
    file: HookFile,
    context: HookContext,
  ) => Awaitable<void>
}

/** Options of `hasManyAttached`. */
export interface HasManyOptions<R> extends AttachedOptions<R> {
  /** Attached, pending and new ones together. Default: no limit. */
  readonly maxFiles?: number
}

declare const recordType: unique symbol

/** What constraints name: nothing but the kind, so that an inline definition keeps what was inferred for it. */
export interface HasAttached<in R> {
  readonly kind: 'one' | 'many'
  readonly [recordType]: (record: R) => void
}
/** What `hasOneAttached` returns. */
export interface HasOneAttached<in R> extends HasAttached<R> {
  readonly kind: 'one'
}
/** What `hasManyAttached` returns. */
export interface HasManyAttached<in R> extends HasAttached<R> {
  readonly kind: 'many'
}

/** `{ … } satisfies Attachments<User>` types all hooks at once. */
export type Attachments<R> = Readonly<Record<string, HasAttached<R>>>
/** Attachments of a model, by name; what constraints name. */
export type AnyAttachments = Readonly<Record<string, { readonly kind: 'one' | 'many' }>>
/** Attachments by model, as `createActiveStorage` takes them. The names are what `record_type` holds. */
export type Models = Readonly<Record<string, AnyAttachments>>

type AttachmentRecord<A> = A extends { readonly [recordType]: (record: infer R) => void }
  ? (r: R) => void
  : never
/** The intersection of what the hooks of one model ask of its record. */
export type RecordOf<D> = [AttachmentRecord<D[keyof D]>] extends [(record: infer R) => void]
  ? R
  : never
export type NeedsRecord<M> = {
  [N in keyof M]: RecordRef extends RecordOf<M[N]> ? never : N
}[keyof M]

/** The options behind a definition: plain data in a WeakMap, so that the definition itself stays opaque. */
export type AnyAttachedOptions = HasManyOptions<never>
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
 * One file of a record, as Rails' `has_one_attached` with the gem's `delayed_attach`.
 * Throws ConfigurationError on an unknown or malformed option.
 *
 * @example
 * const userAttachments = { photo: hasOneAttached({ required: true, maxSize: '10 MB' }) }
 */
export function hasOneAttached<R = unknown>(given: AttachedOptions<R> = {}): HasOneAttached<R> {
  return defineAttached(
    'one',
    'hasOneAttached',
    given as AnyAttachedOptions,
    SHARED_OPTIONS,
  ) as HasOneAttached<R>
}

/**
 * Many files of a record, as Rails' `has_many_attached` with the gem's `delayed_attach`.
 * Throws ConfigurationError on an unknown or malformed option.
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

/** null: not made by hasOneAttached or hasManyAttached. */
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
