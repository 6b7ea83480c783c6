import { takeFilesFromLiteral } from './pending-files.ts'
import { definitionsOf } from './with-attachments.ts'

const isCopyable = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)

/** What an ORM does not copy from a literal into the entity that it makes of it, also further down. */
export function copyPendingFiles(from: unknown, to: unknown, seen: Set<unknown> = new Set()): void {
  // What is kept as it was given (an entity, the value of a column) has lost nothing; and each byte would count as a property.
  if (!isCopyable(from) || !isCopyable(to) || from === to || seen.has(from)) return
  seen.add(from)
  const rest = takeFilesFromLiteral(Object.keys(definitionsOf(to) ?? {}), from, to)
  for (const [key, value] of Object.entries(rest))
    copyPendingFiles(value, (to as Record<string, unknown>)[key], seen)
}
