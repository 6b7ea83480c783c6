/** Number of first bytes that are read. Long comments may come before the first element. */
const MARKUP_HEAD_BYTES = 65_536

/** Types by the name of an XML document's first element. */
const xmlRootTypes: Readonly<Record<string, string>> = {
  rss: 'application/rss+xml',
  feed: 'application/atom+xml',
  kml: 'application/vnd.google-earth.kml+xml',
  gpx: 'application/gpx+xml',
}
/** XML that may run something when a browser shows it. */
const ACTIVE_XML =
  /www\.w3\.org\/(1999\/xhtml|2000\/svg)|<\?xml-stylesheet|<([\w.-]+:)?script[\s>/]/

/** Type of a text that begins with `<`. */
export interface Markup {
  /** null: no known kind. */
  readonly type: string | null
  /** Type by the first element, for XML whose filename does not say more. */
  readonly byRoot?: string
  /** true: it can run something, so no filename may make it another type. */
  readonly isFinal: boolean
}

/**
 * Detects HTML, SVG and other XML, which have no signature and are unsafe to show. null: the text
 * does not begin with `<`.
 */
export function detectMarkup(head: Uint8Array): Markup | null {
  const text = decodeMarkup(head)
    .replace(/^\uFEFF/, '')
    .trimStart()
    .toLowerCase()
  if (!text.startsWith('<')) return null
  const isXml = text.startsWith('<?xml')
  const { doctype, root } = readOpening(text)
  if (root === 'svg' || doctype === 'svg') return { type: 'image/svg+xml', isFinal: true }
  if (root === 'html' || doctype === 'html')
    return { type: isXml ? 'application/xhtml+xml' : 'text/html', isFinal: true }
  const byRoot = xmlRootTypes[root]
  if (isXml || byRoot !== undefined)
    return {
      type: 'application/xml',
      isFinal: root === '' || ACTIVE_XML.test(text),
      ...(byRoot === undefined ? {} : { byRoot }),
    }
  const isHtml = /^(head|body|script|iframe|title|style|img|a|div|p|h1|table)$/.test(root)
  return { type: isHtml ? 'text/html' : null, isFinal: true }
}

/**
 * Reads the names of the document type and the first element, without prefix; '' for a missing one.
 * Passes over the text once.
 */
function readOpening(text: string): { readonly doctype: string; readonly root: string } {
  let doctype = ''
  for (let at = 0; at >= 0 && at < text.length;) {
    if (/\s/.test(text.charAt(at))) at += 1
    else if (text.startsWith('<!--', at)) at = indexAfter(text, '-->', at + 2)
    else if (text.startsWith('<?', at)) at = indexAfter(text, '?>', at)
    else if (text.startsWith('<!doctype', at)) {
      doctype = /^\s*([\w.:-]*)/.exec(text.slice(at + 9, at + 200))?.[1] ?? ''
      const end = indexAfter(text, '>', at)
      const subset = text.indexOf('[', at)
      at =
        subset < 0 || end < 0 || subset > end
          ? end
          : indexAfter(text, ']', subset) < 0
            ? -1
            : indexAfter(text, '>', indexAfter(text, ']', subset))
    } else
      return {
        doctype,
        root: /^<(?:[\w.-]+:)?([\w.-]+)[\s>/]/.exec(text.slice(at, at + 200))?.[1] ?? '',
      }
  }
  return { doctype, root: '' }
}

/** Returns the index after the next `what`, or -1. */
function indexAfter(text: string, what: string, from: number): number {
  const at = text.indexOf(what, from)
  return at < 0 ? -1 : at + what.length
}

/** Decodes UTF-8, or UTF-16 when a byte order mark or the first `<` shows it. */
function decodeMarkup(head: Uint8Array): string {
  const start = Buffer.from(
    head.buffer,
    head.byteOffset,
    Math.min(head.byteLength, MARKUP_HEAD_BYTES),
  )
  const [first, second] = start
  if ((first === 0xff && second === 0xfe) || (first === 0x3c && second === 0))
    return start.toString('utf16le')
  if ((first === 0xfe && second === 0xff) || (first === 0 && second === 0x3c))
    return Buffer.from(start.subarray(0, start.length & ~1))
      .swap16()
      .toString('utf16le')
  return start.toString('utf8')
}
