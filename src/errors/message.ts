import { types } from 'node:util'
import type { ErrorDetails } from './errors.ts'

/**
 * Returns the message of anything that was thrown. It does not use `instanceof Error`, because
 * Node's own errors belong to another realm under Jest.
 */
export function messageOf(error: unknown): string {
  return types.isNativeError(error) ? error.message : String(error)
}

/** Appends the record, the attachment and the file to a message that does not name them. */
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
  return missing.length === 0 ? message : `${message} (${missing.map(toLogText).join(', ')})`
}

/** Makes one line of at most 100 characters of a client's text, for a log. */
export function toLogText(text: string | undefined = ''): string {
  const characters = Array.from(text.slice(0, 500).replaceAll(/\p{Cc}/gu, '\uFFFD'))
  return characters.length <= 100 ? characters.join('') : `${characters.slice(0, 100).join('')}…`
}

/** Formats any value of a caller for a message, in a few words. Never throws. */
export function formatValue(value: unknown): string {
  if (typeof value === 'string')
    return JSON.stringify(value.length > 50 ? `${value.slice(0, 50)}…` : value)
  if (['number', 'bigint', 'boolean', 'undefined'].includes(typeof value) || value === null)
    return String(value)
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

const MAX_LIST_CHARACTERS = 120

/** Formats a list of names for a message: as many as fit into 120 characters. */
export function formatList(names: readonly string[]): string {
  let text = names[0] ?? ''
  for (const name of names.slice(1)) {
    if (text.length + name.length > MAX_LIST_CHARACTERS) return `${text}, …`
    text += `, ${name}`
  }
  return text
}

const MAX_MESSAGE_CHARACTERS = 10_000

/** Makes a message that every database can store: PostgreSQL refuses NUL, MySQL more than 64 KB. */
export function toStorableMessage(message: string): string {
  return message.toWellFormed().replaceAll('\0', '').slice(0, MAX_MESSAGE_CHARACTERS)
}
