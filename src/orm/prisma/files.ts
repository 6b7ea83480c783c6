import { hasAssigned, takeAssigned } from '../assigned.ts'
import type { Attached } from './accessors.ts'

/** What Prisma's operations take for fields. */
export type Data = Readonly<Record<string, unknown>>

/** What was given for a record, taken apart. */
export interface Files {
  /** What the files are assigned to: of the record there is nothing yet. */
  readonly owner: object
  readonly any: boolean
  /** The rest, which is Prisma's. */
  readonly data: Data | undefined
}

export function filesOf({ names }: Attached, given: Data | undefined): Files {
  const owner = {}
  if (typeof given !== 'object' || given === null) return { owner, any: false, data: given }
  const data: Record<string, unknown> = { ...given }
  takeAssigned(names, data, owner)
  // What is undefined was not given; Prisma would not know it.
  for (const name of names) for (const key of [name, `${name}Tmp`]) delete data[key]
  return { owner, any: hasAssigned(owner), data }
}
