import { takeAssigned } from './assigned.ts'
import { attachmentsOf } from './with-attachments.ts'

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)

/** What an ORM does not copy from a literal into the entity that it makes of it, also further down. */
export function copyAssigned(from: unknown, to: unknown, seen: Set<unknown> = new Set()): void {
  // What is kept as it was given (an entity, the value of a column) has lost nothing; and each byte would count as a property.
  if (!isObject(from) || !isObject(to) || from === to || seen.has(from)) return
  seen.add(from)
  const attachments = attachmentsOf(to)
  const names = Object.keys(attachments ?? {})
  const ours = new Set(names.flatMap((name) => [name, `${name}Tmp`]))
  // The literal is the app's: it keeps what it holds.
  takeAssigned(names, Object.fromEntries(Object.entries(from).filter(([key]) => ours.has(key))), to)
  for (const [key, value] of Object.entries(from)) if (!ours.has(key)) copyAssigned(value, (to as Record<string, unknown>)[key], seen)
}
