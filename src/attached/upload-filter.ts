import { canonicalizeId } from '../attachments/lane.ts'
import type { RecordIdType } from '../database/store.ts'
import { isUuid } from '../database/uuid.ts'
import { InvalidInputError } from '../errors/errors.ts'
import { formatValue } from '../errors/message.ts'
import type { DelayedUpload } from './values.ts'

/** Conditions of `storage.delayedUploads.list`; all that are given must hold. */
export interface DelayedUploadFilter<N extends string = string> {
  /** A name of `models`. */
  readonly model?: N
  /** The attachment's name, such as 'photo'. */
  readonly attachment?: string
  /** The id of a record. Give `model` too, because records of several models may have the id. */
  readonly recordId?: bigint | number | string
  readonly state?: DelayedUpload['state']
  /** Text that `lastError` contains, in upper or lower case; on SQLite so for ASCII letters. */
  readonly error?: string
  /** Created at this time or later. */
  readonly createdFrom?: Date
  /** Created before this time. */
  readonly createdBefore?: Date
  /** Default 'newest': the newest upload comes first. */
  readonly order?: 'newest' | 'oldest'
  /** Default 100. */
  readonly limit?: number
  /** The id of the last upload of the page before. That upload may be finished meanwhile. */
  readonly after?: string | undefined
}

/** Times outside are written with a sign or are before Christ, which databases read differently. */
const FIRST_TIME = new Date('0001-01-01T00:00:00Z')
const LAST_TIME = new Date('9999-12-31T23:59:59.999Z')

/** A checked filter with its defaults; null: no condition. */
export interface UploadConditions {
  readonly model: string | null
  readonly attachment: string | null
  /** Canonical; see `canonicalizeId`. */
  readonly recordId: string | null
  readonly state: DelayedUpload['state'] | null
  /** Lower case. */
  readonly error: string | null
  readonly createdFrom: Date | null
  readonly createdBefore: Date | null
  readonly order: 'newest' | 'oldest'
  readonly limit: number
  readonly after: string | null
}

/**
 * Checks a filter and fills in its defaults. Throws InvalidInputError, also for a record id that
 * the storage cannot have.
 */
export function readUploadFilter(
  filter: DelayedUploadFilter,
  recordIdType: RecordIdType,
): UploadConditions {
  if (typeof filter !== 'object' || filter === null)
    throw new InvalidInputError(`The filter is ${formatValue(filter)}: give an object.`)
  const { model, recordId, limit = 100, after } = filter
  if (!(Number.isSafeInteger(limit) && limit > 0))
    throw new InvalidInputError(`limit is ${formatValue(limit)}: give a whole number above 0.`)
  if (after !== undefined && !(typeof after === 'string' && isUuid(after)))
    throw new InvalidInputError(
      `after is ${formatValue(after)}: give the id of the last upload of the page before.`,
    )
  return {
    model: readText(model, 'model', 'the name of a model'),
    attachment: readText(filter.attachment, 'attachment', 'the name of an attachment'),
    recordId:
      recordId === undefined ? null : canonicalizeId(recordId, recordIdType, model ?? 'record'),
    state: readChoice(filter.state, 'state', ['pending', 'running', 'failed']),
    error: readText(filter.error, 'error', 'text')?.toLowerCase() ?? null,
    createdFrom: readDate(filter.createdFrom, 'createdFrom'),
    createdBefore: readDate(filter.createdBefore, 'createdBefore'),
    order: readChoice(filter.order, 'order', ['newest', 'oldest']) ?? 'newest',
    limit,
    after: after ?? null,
  }
}

function readText(value: unknown, name: string, expected: string): string | null {
  if (value === undefined) return null
  // PostgreSQL has no NUL in texts.
  if (typeof value === 'string' && !value.includes('\0')) return value
  throw new InvalidInputError(`${name} is ${formatValue(value)}: give ${expected}.`)
}

function readChoice<C extends string>(
  value: unknown,
  name: string,
  choices: readonly C[],
): C | null {
  if (value === undefined) return null
  const choice = choices.find((each) => each === value)
  if (choice !== undefined) return choice
  throw new InvalidInputError(
    `${name} is ${formatValue(value)}: give one of '${choices.join("', '")}'.`,
  )
}

function readDate(value: unknown, name: string): Date | null {
  if (value === undefined) return null
  if (value instanceof Date && value >= FIRST_TIME && value <= LAST_TIME) return value
  throw new InvalidInputError(
    `${name} is ${formatValue(value)}: give a Date between the years 1 and 9999.`,
  )
}
