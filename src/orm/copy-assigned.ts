import { takeFiles } from './assigned.ts'
import { attachmentsOf } from './with-attachments.ts'

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)

/** What an ORM does not copy from a literal into the entity that it makes of it, also further down. */
export function copyAssigned(from: unknown, to: unknown, seen: Set<unknown> = new Set()): void {
  // What is kept as it was given (an entity, the value of a column) has lost nothing; and each byte would count as a property.
  if (!isObject(from) || !isObject(to) || from === to || seen.has(from)) return
  seen.add(from)
  const rest = takeFiles(Object.keys(attachmentsOf(to) ?? {}), from, to)
  for (const [key, value] of Object.entries(rest))
    copyAssigned(value, (to as Record<string, unknown>)[key], seen)
}
