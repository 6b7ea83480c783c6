import { hasPendingFiles, takeFilesFromLiteral } from '../pending-files.ts'
import type { ModelWithAttachments } from './accessors.ts'

/** What Prisma's operations take for fields. */
export type PrismaData = Readonly<Record<string, unknown>>

/** What was given for a record, taken apart. */
export interface SplitData {
  /** What the files are assigned to: of the record there is nothing yet. */
  readonly owner: object
  readonly any: boolean
  /** The rest, which is Prisma's. */
  readonly data: PrismaData | undefined
}

export function splitData(
  { names }: ModelWithAttachments,
  given: PrismaData | undefined,
): SplitData {
  const owner = {}
  if (typeof given !== 'object' || given === null) return { owner, any: false, data: given }
  const data = takeFilesFromLiteral(names, given, owner)
  return { owner, any: hasPendingFiles(owner), data }
}
