import { contentDisposition } from './content-disposition.ts'
import { canonicalType } from './type-names.ts'

/** What a browser would run: it is served as bytes, whatever it is asked for. Rails' list. */
const binary = new Set([
  'text/html',
  'image/svg+xml',
  'application/postscript',
  'application/x-shockwave-flash',
  'text/xml',
  'application/xml',
  'application/xhtml+xml',
  'application/mathml+xml',
  'text/cache-manifest',
])
/** What may be shown in the page. Rails' list. */
const inline = new Set([
  'image/webp',
  'image/avif',
  'image/png',
  'image/gif',
  'image/jpeg',
  'image/tiff',
  'image/bmp',
  'image/vnd.adobe.photoshop',
  'image/vnd.microsoft.icon',
  'application/pdf',
])

/** How a file may be served: its type, and whether a browser may show it. */
export function served(contentType: string | null): {
  readonly contentType: string
  readonly mayBeInline: boolean
} {
  const type = contentType ?? 'application/octet-stream'
  const name = canonicalType(type)
  return {
    contentType: isRun(type) || isRun(name) ? 'application/octet-stream' : type,
    mayBeInline: inline.has(type),
  }
}

/**
 * What a service writes beside an object. A bucket that is public serves it as this says, without asking the app: what a
 * browser must not show is stored as a download. Rails' `service_metadata`.
 */
export function storedAs(
  contentType: string,
  filename: string,
): { readonly contentType: string; readonly disposition?: string } {
  const { contentType: stored, mayBeInline } = served(contentType)
  return {
    contentType: stored,
    ...(mayBeInline ? {} : { disposition: contentDisposition('attachment', filename) }),
  }
}

/** Browsers show every type of XML as a page of its own. */
const isRun = (type: string): boolean => binary.has(type) || type.endsWith('+xml')
