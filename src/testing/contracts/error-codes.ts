/** Reads the `code` of an error. undefined: it has none. */
const codeOf = (error: unknown): unknown =>
  error instanceof Error ? Reflect.get(error, 'code') : undefined

/** Matches an error of the library by its code, also as the `cause` of an error of an ORM. */
export const hasErrorCode =
  (code: string) =>
  (error: unknown): boolean =>
    codeOf(error) === code || (error instanceof Error && codeOf(error.cause) === code)
