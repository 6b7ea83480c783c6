import type { PublicError } from '../errors/public-error.ts'

/** Whatever is served was sent by somebody: a browser must not guess that it is more than its type says. */
const COMMON_HEADERS = { 'X-Content-Type-Options': 'nosniff' }
/** What is not there now may be there in a moment: no cache keeps it. */
const UNCACHED_HEADERS = { ...COMMON_HEADERS, 'Cache-Control': 'no-store' }

/** Thrown where the answer is known and there is nothing more to do. */
export class HttpResponseError extends Error {
  readonly response: Response
  constructor(response: Response) {
    super('The request was answered.')
    this.response = response
  }
}

export function respond(
  status: number,
  headers: Readonly<Record<string, string>> = {},
  body: BodyInit | null = null,
): Response {
  return new Response(body, { status, headers: { ...COMMON_HEADERS, ...headers } })
}

export function respondJson(
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const body = JSON.stringify(value)
  return new Response(body, {
    status,
    headers: { ...UNCACHED_HEADERS, 'Content-Type': 'application/json; charset=utf-8', ...headers },
  })
}

/** As Rails: an id that is not valid, has expired, or leads nowhere, all look the same. */
export const notFound = (): HttpResponseError =>
  new HttpResponseError(new Response(null, { status: 404, headers: UNCACHED_HEADERS }))
export const forbidden = (): HttpResponseError =>
  new HttpResponseError(respondError(403, 'You may not do this.', 'FORBIDDEN'))

export function respondRedirect(location: string, cacheControl: string): Response {
  return new Response(null, {
    status: 302,
    headers: { ...COMMON_HEADERS, Location: location, 'Cache-Control': cacheControl },
  })
}

/** What a page's script reads: a message for a person, and a code. */
export function respondError(
  status: number,
  error: string,
  code: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return respondJson(status, { error, code }, headers)
}

export function respondPublicError({ statusCode, message, code }: PublicError): Response {
  return statusCode === 404
    ? new Response(null, { status: 404, headers: UNCACHED_HEADERS })
    : respondError(statusCode, message, code)
}
