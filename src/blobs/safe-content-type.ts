import { toContentDisposition } from './content-disposition.ts'
import { toCanonicalType } from './type-names.ts'

/**
 * Types that a browser would run. They are served as bytes. Rails'
 * `content_types_to_serve_as_binary`.
 */
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
/** Types that may be shown in the page. Rails' `content_types_allowed_inline`. */
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

/**
 * Returns the type that a file may be served with, and whether a browser may show it instead of
 * saving it.
 */
export function toSafeContentType(contentType: string | null): {
  readonly contentType: string
  readonly mayBeInline: boolean
} {
  const type = contentType ?? 'application/octet-stream'
  return {
    contentType:
      isExecutable(type) || isExecutable(toCanonicalType(type)) ? 'application/octet-stream' : type,
    mayBeInline: inlineTypes.has(type),
  }
}

/**
 * Returns the headers that a service stores with an object. A public bucket serves them without
 * asking the app, so a type that a browser must not show is stored as a download. Rails'
 * `service_metadata`.
 */
export function toServiceMetadata(
  contentType: string,
  filename: string,
): { readonly contentType: string; readonly disposition?: string } {
  const { contentType: safeType, mayBeInline } = toSafeContentType(contentType)
  return {
    contentType: safeType,
    ...(mayBeInline ? {} : { disposition: toContentDisposition('attachment', filename) }),
  }
}

/** Browsers show every type of XML as a page of its own. */
const isExecutable = (type: string): boolean => binaryTypes.has(type) || type.endsWith('+xml')
