import { types } from 'node:util'

/** What went wrong, in words. Under Jest, errors of Node's own are of another realm: `instanceof Error` does not know them. */
export function messageOf(error: unknown): string {
  return types.isNativeError(error) ? error.message : String(error)
}
