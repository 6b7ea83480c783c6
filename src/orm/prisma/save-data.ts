import { isObject } from '../object-guards.ts'
import { hasAssignedFiles, takeFilesFromLiteral } from '../assigned-files.ts'
import type { PrismaModel } from './bind.ts'

/** The `data` of an operation, or another of its arguments, by field. */
export type PrismaData = Readonly<Record<string, unknown>>

/** The `data` of an operation, split into files and columns. */
export interface SplitData {
  /** An object that the files are assigned to, because there is no record yet. */
  readonly owner: object
  readonly hasFiles: boolean
  /** The data without files, for Prisma. */
  readonly data: PrismaData | undefined
}

/** Splits the `data` of an operation on a model with attachments. */
export function splitData({ names }: PrismaModel, given: PrismaData | undefined): SplitData {
  const owner = {}
  if (!isObject(given)) return { owner, hasFiles: false, data: given }
  const data = takeFilesFromLiteral(names, given, owner)
  return { owner, hasFiles: hasAssignedFiles(owner), data }
}
