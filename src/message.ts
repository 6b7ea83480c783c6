import { types } from 'node:util'

/** What went wrong, in words. Under Jest, errors of Node's own are of another realm: `instanceof Error` does not know them. */
export function messageOf(error: unknown): string {
  return types.isNativeError(error) ? error.message : String(error)
}

const LONGEST = 10_000

/** As a database can store it: PostgreSQL takes no NUL, MySQL no more than 64 KB. */
export function storedMessage(message: string): string {
  return message.toWellFormed().replaceAll('\0', '').slice(0, LONGEST)
}
