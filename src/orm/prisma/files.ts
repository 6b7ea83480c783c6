import { hasAssigned, takeFiles } from '../assigned.ts'
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
  const data = takeFiles(names, given, owner)
  return { owner, any: hasAssigned(owner), data }
}
