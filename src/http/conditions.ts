import type { Content } from './serve-content.ts'

/** Headers that identify the bytes of a response. */
type Validators = Pick<Content, 'etag' | 'lastModified'>

/** Characters of a list of tags that are read; no client sends more. */
const MAX_TAGS_LENGTH = 8000

/**
 * Evaluates the conditions of a request in the order of RFC 9110, 13.2.2. 'failed' means 412,
 * 'fresh' means 304, null means that the content is sent. Invalid dates are ignored.
 */
export function checkConditions(
  { headers }: Request,
  { etag, lastModified }: Validators,
): 'failed' | 'fresh' | null {
  const modified = lastModified === null ? null : Math.floor(lastModified.getTime() / 1000) * 1000
  const match = headers.get('if-match')
  const unmodifiedSince = parseHttpDate(headers.get('if-unmodified-since'))
  // A weak tag never matches If-Match, because it does not promise equal bytes.
  if (
    match !== null
      ? !parseTags(match).some((tag) => tag === '*' || tag === etag)
      : isAfter(modified, unmodifiedSince)
  )
    return 'failed'
  const noneMatch = headers.get('if-none-match')
  if (noneMatch !== null)
    return etag !== null &&
      parseTags(noneMatch).some((tag) => ['*', etag].includes(tag.replace(/^W\//, '')))
      ? 'fresh'
      : null
  const modifiedSince = parseHttpDate(headers.get('if-modified-since'))
  return modified !== null && modifiedSince !== null && modified <= modifiedSince ? 'fresh' : null
}

const isAfter = (modified: number | null, date: number | null): boolean =>
  modified !== null && date !== null && modified > date

const parseTags = (header: string): string[] =>
  header
    .slice(0, MAX_TAGS_LENGTH)
    .split(',')
    .map((tag) => tag.trim())

const TIME = String.raw`\d\d:\d\d:\d\d`
/** The three date formats of RFC 9110, 5.6.7. */
const HTTP_DATE_FORMATS = [
  new RegExp(String.raw`^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} ${TIME} GMT$`),
  new RegExp(String.raw`^[A-Z][a-z]{5,8}, \d\d-[A-Z][a-z]{2}-\d\d ${TIME} GMT$`),
  new RegExp(String.raw`^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d ${TIME} \d{4}$`),
]

/**
 * Parses a date of HTTP to epoch milliseconds. null: it is none, even if `Date.parse` accepts it
 * ('2044').
 */
function parseHttpDate(header: string | null): number | null {
  const text = header?.trim() ?? ''
  if (!HTTP_DATE_FORMATS.some((form) => form.test(text))) return null
  const time = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`)
  // Date.parse reads 31 February as a day of March.
  const day = Number(/[ \d]\d(?=[ -])/.exec(text)?.[0])
  return new Date(time).getUTCDate() === day ? time : null
}
