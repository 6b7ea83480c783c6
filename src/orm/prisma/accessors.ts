import { boundModel } from '../bound.ts'
import type { RecordId } from '../record-id.ts'
import { propertyOf } from './client.ts'
import type { Open } from './transactions.ts'

/** A model of the schema with its attachments. */
export interface Attached {
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

type Row = Readonly<Record<string, RecordId>>
interface Slot {
  delayedUploads(): Promise<unknown>
}

/**
 * The extension that gives records `photo` and `photoDelayedUploads()`: in the transaction that they were loaded in while that is
 * open, else outside.
 */
export function accessors(models: readonly Attached[], open?: Open): object {
  return {
    name: 'activestorage-delayed',
    result: Object.fromEntries(
      models.map((each) => [propertyOf(each.model), fieldsOf(each, open)]),
    ),
  }
}

function fieldsOf({ definitions, names, id }: Attached, open: Open | undefined): object {
  const needs = { [id]: true }
  const slotOf = (row: Row, name: string): Slot => {
    const transaction = open?.isOpen === true ? open.tx : undefined
    return (
      boundModel(definitions).record(row[id] as RecordId, transaction) as unknown as Record<
        string,
        Slot
      >
    )[name]!
  }
  return Object.fromEntries(
    names.flatMap((name) => [
      [name, { needs, compute: (row: Row) => whenUsed(() => slotOf(row, name)) }],
      [
        `${name}DelayedUploads`,
        { needs, compute: (row: Row) => () => slotOf(row, name).delayedUploads() },
      ],
    ]),
  )
}

/** Prisma computes the field also for what only prints or copies a record; as JSON, records are their columns. */
const whenUsed = (slot: () => object): object =>
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
