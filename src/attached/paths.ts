import { TOKEN_PURPOSE } from './signed-tokens.ts'
import type { BlobRow } from '../blobs/blob-rows.ts'
import { toContentDisposition } from '../blobs/content-disposition.ts'
import { sanitizeFilename } from '../blobs/filename.ts'
import { toSafeContentType } from '../blobs/safe-content-type.ts'
import { parseDuration, type Duration } from '../options/units.ts'
import type { StorageContext } from './context.ts'

/** Options of the app's own route to a file. */
export interface PathOptions {
  /**
   * Default 'inline'. Types that a browser must not show, such as HTML, SVG and text, are always
   * attachments.
   */
  readonly disposition?: 'inline' | 'attachment'
  /**
   * true: the app sends the bytes, so that a CDN can cache them. Default: it redirects to the
   * service. Rails' two modes.
   */
  readonly proxy?: boolean
  /** Default: the path never expires. */
  readonly expiresIn?: Duration
}

type PathContext = Pick<StorageContext, 'basePath' | 'verifier'>

/** Escapes a path segment as Rails does. */
function escapeSegment(text: string): string {
  return encodeURIComponent(text).replaceAll(/%(?:24|26|2B|2C|3A|3B|3D|40)/g, decodeURIComponent)
}

/**
 * Escapes the filename of a path, which is only for people. A name of dots alone would change the
 * folder.
 */
const escapeFilename = (filename: string): string =>
  escapeSegment(sanitizeFilename(filename).replace(/^\.{0,2}$/, 'file'))

function toExpiry(expiresIn: Duration | undefined): { readonly expiresAt?: Date } {
  return expiresIn === undefined
    ? {}
    : { expiresAt: new Date(Date.now() + parseDuration(expiresIn, 'expiresIn')) }
}

const toQueryString = ({ disposition }: PathOptions): string =>
  disposition === undefined ? '' : `?disposition=${disposition}`

/**
 * Signs a blob's id. As in Rails, messages hold an integer, or text where the app's keys are UUIDs.
 */
export function signBlob(context: PathContext, id: string, expiresIn?: Duration): string {
  return context.verifier.generate(/^\d+$/.test(id) ? BigInt(id) : id, {
    purpose: TOKEN_PURPOSE.blob,
    ...toExpiry(expiresIn),
  })
}

/** Creates Rails' `rails_service_blob_path`, or `rails_service_blob_proxy_path`. */
export function blobPath(
  context: PathContext,
  blob: Pick<BlobRow, 'id' | 'filename'>,
  options: PathOptions = {},
): string {
  const signedId = escapeSegment(signBlob(context, blob.id, options.expiresIn))
  return `${context.basePath}/blobs/${options.proxy === true ? 'proxy' : 'redirect'}/${signedId}/${escapeFilename(blob.filename)}${toQueryString(options)}`
}

/**
 * Creates the path that serves a staged file, and redirects to its blob once it is attached. Its
 * token cannot be used to attach the file.
 */
export function pendingPath(
  context: PathContext,
  file: { readonly id: string; readonly filename: string },
  options: PathOptions = {},
): string {
  const token = context.verifier.generate(file.id, {
    purpose: TOKEN_PURPOSE.pending,
    ...toExpiry(options.expiresIn),
  })
  return `${context.basePath}/pending/${escapeSegment(token)}/${escapeFilename(file.filename)}${toQueryString(options)}`
}

/** Creates the path of a delayed upload's progress. */
export function delayedUploadPath(context: PathContext, token: string): string {
  return `${context.basePath}/delayed_uploads/${escapeSegment(context.verifier.generate(token, { purpose: TOKEN_PURPOSE.upload }))}`
}

/**
 * Creates the path to which a page sends files before its form is submitted. The attachment is
 * signed, so its limits cannot be evaded.
 */
export function uploadTargetPath(
  context: PathContext & { readonly expiresIn: number },
  route: 'direct_uploads' | 'staged_files',
  attachment: string,
): string {
  const expiresAt = new Date(Date.now() + context.expiresIn)
  return `${context.basePath}/${route}/${escapeSegment(context.verifier.generate(attachment, { purpose: TOKEN_PURPOSE.attachment, expiresAt }))}`
}

/** Creates the path that discards a staged file. */
export function stagedPath(context: PathContext, signedId: string): string {
  return `${context.basePath}/staged_files/${escapeSegment(signedId)}`
}

/**
 * Creates Rails' path of the disk service, for services without URLs. It serves only the object
 * that its token names.
 */
export function diskPath(
  context: PathContext,
  blob: Pick<BlobRow, 'key' | 'filename' | 'contentType' | 'serviceName'>,
  options: {
    readonly disposition: 'inline' | 'attachment'
    readonly filename: string
    readonly expiresAt: Date | undefined
  },
): string {
  const { contentType, mayBeInline } = toSafeContentType(blob.contentType)
  const value = {
    key: blob.key,
    disposition: toContentDisposition(
      mayBeInline ? options.disposition : 'attachment',
      options.filename,
    ),
    content_type: contentType,
    service_name: Symbol.for(blob.serviceName),
  }
  const token = context.verifier.generate(value, {
    purpose: TOKEN_PURPOSE.disk,
    expiresAt: options.expiresAt,
  })
  return `${context.basePath}/disk/${escapeSegment(token)}/${escapeFilename(options.filename)}`
}

/**
 * Creates Rails' path for a direct upload to the disk service. It stores only the object that its
 * token describes.
 */
export function diskUploadPath(
  context: PathContext,
  blob: Pick<BlobRow, 'key' | 'byteSize' | 'checksum' | 'contentType' | 'serviceName'>,
  expiresAt: Date,
): string {
  const value = {
    key: blob.key,
    content_type: blob.contentType,
    content_length: blob.byteSize,
    checksum: blob.checksum,
    service_name: Symbol.for(blob.serviceName),
  }
  return `${context.basePath}/disk/${escapeSegment(context.verifier.generate(value, { purpose: TOKEN_PURPOSE.diskUpload, expiresAt }))}`
}
