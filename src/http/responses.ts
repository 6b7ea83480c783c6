import type { PublicError } from '../errors/public-error.ts'

/**
 * Visitors sent the files that we serve, so a browser must not guess another type than the one that
 * we say.
 */
const COMMON_HEADERS = { 'X-Content-Type-Options': 'nosniff' }
/** A file that is missing now may exist in a moment, so no cache may keep the response. */
const UNCACHED_HEADERS = { ...COMMON_HEADERS, 'Cache-Control': 'no-store' }

/** Thrown by a route to end the request with this response. */
export class HttpResponseError extends Error {
  readonly response: Response
  constructor(response: Response) {
    super('The request ended with a response.')
    this.response = response
  }
}

/** Creates a response with the headers that all responses have. */
export function respond(
  status: number,
  headers: Readonly<Record<string, string>> = {},
  body: BodyInit | null = null,
): Response {
  return new Response(body, { status, headers: { ...COMMON_HEADERS, ...headers } })
}

/** Creates a response with JSON that no cache keeps. */
export function respondJson(
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: {
      ...UNCACHED_HEADERS,
      'Content-Type': 'application/json; charset=utf-8',
      ...headers,
    },
  })
}

/**
 * Creates the response 404, which is the same for an invalid token, an expired token and a missing
 * row, as in Rails.
 */
export const notFound = (): HttpResponseError =>
  new HttpResponseError(new Response(null, { status: 404, headers: UNCACHED_HEADERS }))

/** Creates the response 403, for a request that the app's `authorize` refuses. */
export const forbidden = (): HttpResponseError =>
  new HttpResponseError(respondError(403, 'You may not do this.', 'FORBIDDEN'))

/** Creates a redirect with status 302. */
export function respondRedirect(location: string, cacheControl: string): Response {
  return new Response(null, {
    status: 302,
    headers: { ...COMMON_HEADERS, Location: location, 'Cache-Control': cacheControl },
  })
}

/**
 * Creates a JSON response for a page's script: `error` is text for the visitor, `code` is for the
 * script.
 */
export function respondError(
  status: number,
  error: string,
  code: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return respondJson(status, { error, code }, headers)
}

/** Creates the response to an error. 404 has no body, as in Rails. */
export function respondPublicError({ statusCode, message, code }: PublicError): Response {
  return statusCode === 404
    ? new Response(null, { status: 404, headers: UNCACHED_HEADERS })
    : respondError(statusCode, message, code)
}
