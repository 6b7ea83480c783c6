import { types } from 'node:util'
import type { ErrorDetails } from './errors.ts'

/** What went wrong, in words. Under Jest, errors of Node's own are of another realm: `instanceof Error` does not know them. */
export function messageOf(error: unknown): string {
  return types.isNativeError(error) ? error.message : String(error)
}

/** The message with record, attachment and file, unless it names them by itself. */
export function appendDetails(
  message: string,
  { record, attachment, filename }: ErrorDetails = {},
): string {
  const place = [
    record === undefined ? undefined : `${record.type} ${record.id}`,
    attachment,
    filename,
  ]
  const missing = place.filter((each) => each !== undefined && !message.includes(each))
  return missing.length === 0 ? message : `${message} (${missing.join(', ')})`
}

/** A value that a caller handed over, as a message names it: short, whatever it is. Never throws. */
export function formatValue(value: unknown): string {
  if (typeof value === 'string')
    return JSON.stringify(value.length > 50 ? `${value.slice(0, 50)}…` : value)
  if (['number', 'bigint', 'boolean', 'undefined'].includes(typeof value) || value === null)
    return String(value)
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

const MAX_LIST_CHARACTERS = 120

/** Names as a message lists them: as many as fit, so that it stays short. */
export function formatList(names: readonly string[]): string {
  let text = names[0] ?? ''
  for (const name of names.slice(1)) {
    if (text.length + name.length > MAX_LIST_CHARACTERS) return `${text}, …`
    text += `, ${name}`
  }
  return text
}

const MAX_MESSAGE_CHARACTERS = 10_000

/** As a database can store it: PostgreSQL takes no NUL, MySQL no more than 64 KB. */
export function toStorableMessage(message: string): string {
  return message.toWellFormed().replaceAll('\0', '').slice(0, MAX_MESSAGE_CHARACTERS)
}
