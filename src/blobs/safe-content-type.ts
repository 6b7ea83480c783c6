import { toContentDisposition } from './content-disposition.ts'
import { toCanonicalType } from './type-names.ts'

/** What a browser would run: it is served as bytes, whatever it is asked for. Rails' list. */
const binaryTypes = new Set([
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
const inlineTypes = new Set([
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
export function toSafeContentType(contentType: string | null): {
  readonly contentType: string
  readonly mayBeInline: boolean
} {
  const type = contentType ?? 'application/octet-stream'
  const name = toCanonicalType(type)
  return {
    contentType: isExecutable(type) || isExecutable(name) ? 'application/octet-stream' : type,
    mayBeInline: inlineTypes.has(type),
  }
}

/**
 * What a service writes beside an object. A bucket that is public serves it as this says, without asking the app: what a
 * browser must not show is stored as a download. Rails' `service_metadata`.
 */
export function toServiceMetadata(
  contentType: string,
  filename: string,
): { readonly contentType: string; readonly disposition?: string } {
  const { contentType: stored, mayBeInline } = toSafeContentType(contentType)
  return {
    contentType: stored,
    ...(mayBeInline ? {} : { disposition: toContentDisposition('attachment', filename) }),
  }
}

/** Browsers show every type of XML as a page of its own. */
const isExecutable = (type: string): boolean => binaryTypes.has(type) || type.endsWith('+xml')
