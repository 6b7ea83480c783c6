import { types } from 'node:util'
import type { ErrorDetails } from './errors.ts'

/** What went wrong, in words. Under Jest, errors of Node's own are of another realm: `instanceof Error` does not know them. */
export function messageOf(error: unknown): string {
  return types.isNativeError(error) ? error.message : String(error)
}

/** The message with record, attachment and file, unless it names them by itself. */
export function inPlace(message: string, { record, attachment, filename }: ErrorDetails = {}): string {
  const place = [record === undefined ? undefined : `${record.type} ${record.id}`, attachment, filename]
  const missing = place.filter((each) => each !== undefined && !message.includes(each))
  return missing.length === 0 ? message : `${message} (${missing.join(', ')})`
}

const LONGEST = 10_000

/** As a database can store it: PostgreSQL takes no NUL, MySQL no more than 64 KB. */
export function storedMessage(message: string): string {
  return message.toWellFormed().replaceAll('\0', '').slice(0, LONGEST)
}
