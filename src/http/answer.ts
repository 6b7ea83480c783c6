import type { PublicError } from '../public-error.ts'

/** Whatever is served was sent by somebody: a browser must not guess that it is more than its type says. */
const always = { 'X-Content-Type-Options': 'nosniff' }
/** What is not there now may be there in a moment: no cache keeps it. */
const uncached = { ...always, 'Cache-Control': 'no-store' }

/** Thrown where the answer is known and there is nothing more to do. */
export class Answered extends Error {
  readonly response: Response
  constructor(response: Response) {
    super('The request was answered.')
    this.response = response
  }
}

export function answer(
  status: number,
  headers: Readonly<Record<string, string>> = {},
  body: BodyInit | null = null,
): Response {
  return new Response(body, { status, headers: { ...always, ...headers } })
}

export function json(
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const body = JSON.stringify(value)
  return new Response(body, {
    status,
    headers: { ...uncached, 'Content-Type': 'application/json; charset=utf-8', ...headers },
  })
}

/** As Rails: an id that is not valid, has expired, or leads nowhere, all look the same. */
export const notFound = (): Answered =>
  new Answered(new Response(null, { status: 404, headers: uncached }))
export const notAllowed = (): Answered =>
  new Answered(failure(403, 'You may not do this.', 'FORBIDDEN'))

export function redirect(location: string, cacheControl: string): Response {
  return new Response(null, {
    status: 302,
    headers: { ...always, Location: location, 'Cache-Control': cacheControl },
  })
}

/** What a page's script reads: a message for a person, and a code. */
export function failure(
  status: number,
  error: string,
  code: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return json(status, { error, code }, headers)
}

export function failureOf({ statusCode, message, code }: PublicError): Response {
  return statusCode === 404
    ? new Response(null, { status: 404, headers: uncached })
    : failure(statusCode, message, code)
}
