import { isObject } from './object-guards.ts'
import { takeFilesFromLiteral } from './assigned-files.ts'
import { definitionsOf } from './with-attachments.ts'

// Bytes are skipped: each byte would count as a property.
const isCopyable = (value: unknown): value is Record<PropertyKey, unknown> =>
  isObject(value) && !ArrayBuffer.isView(value)

/**
 * Assigns the files of a literal to the entity that an ORM made of it, and those of nested literals
 * to the entities there. ORMs copy columns and relations only. A value that the ORM did not copy is
 * skipped, because it still has its files.
 */
export function copyAssignedFiles(
  from: unknown,
  to: unknown,
  seen: Set<unknown> = new Set(),
): void {
  if (!isCopyable(from) || !isCopyable(to) || from === to || seen.has(from)) return
  seen.add(from)
  const rest = takeFilesFromLiteral(Object.keys(definitionsOf(to) ?? {}), from, to)
  for (const [key, value] of Object.entries(rest)) copyAssignedFiles(value, to[key], seen)
}
