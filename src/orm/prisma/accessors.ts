import { requireModel } from '../model-registry.ts'
import type { RecordId } from '../record-id.ts'
import { propertyOf } from './client.ts'
import type { PrismaTransaction } from './transactions.ts'

/** A model of the schema with its attachments. */
export interface ModelWithAttachments {
  /** Its name in the schema. */
  readonly model: string
  readonly definitions: object
  /** The names of its attachments. */
  readonly names: readonly string[]
  /** Whether a new record must come with a file. */
  readonly isRequired: boolean
  /** The field that is its primary key. */
  readonly id: string
}

type RowWithId = Readonly<Record<string, RecordId>>
interface AttachmentHandle {
  delayedUploads(): Promise<unknown>
}

/**
 * The extension that gives records `photo` and `photoDelayedUploads()`: in the transaction that they were loaded in while that is
 * open, else outside.
 */
export function createAccessors(
  models: readonly ModelWithAttachments[],
  open?: PrismaTransaction,
): object {
  return {
    name: 'activestorage-delayed',
    result: Object.fromEntries(
      models.map((each) => [propertyOf(each.model), computedFieldsOf(each, open)]),
    ),
  }
}

function computedFieldsOf(
  { definitions, names, id }: ModelWithAttachments,
  open: PrismaTransaction | undefined,
): object {
  const needs = { [id]: true }
  const slotOf = (row: RowWithId, name: string): AttachmentHandle => {
    const transaction = open?.isOpen === true ? open.tx : undefined
    return (
      requireModel(definitions).record(row[id] as RecordId, transaction) as unknown as Record<
        string,
        AttachmentHandle
      >
    )[name]!
  }
  return Object.fromEntries(
    names.flatMap((name) => [
      [name, { needs, compute: (row: RowWithId) => createLazyHandle(() => slotOf(row, name)) }],
      [
        `${name}DelayedUploads`,
        { needs, compute: (row: RowWithId) => () => slotOf(row, name).delayedUploads() },
      ],
    ]),
  )
}

/** Prisma computes the field also for what only prints or copies a record; as JSON, records are their columns. */
const createLazyHandle = (slot: () => object): object =>
  new Proxy(
    {},
    {
      get: (_nothing, key) =>
        key === 'toJSON'
          ? () => undefined
          : typeof key === 'symbol' || key === 'then'
            ? undefined
            : (Reflect.get(slot(), key) as unknown),
    },
  )
