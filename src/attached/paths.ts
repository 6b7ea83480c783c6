import type { BlobRow } from '../blobs/blob-rows.ts'
import { contentDisposition } from '../blobs/content-disposition.ts'
import { sanitize } from '../blobs/filename.ts'
import { served } from '../blobs/serving.ts'
import { parseDuration, type Duration } from '../units.ts'
import { PURPOSE, type AttachedContext } from './context.ts'

/** Of the app's own route to a file. */
export interface PathOptions {
  /** Default 'inline'. What a browser must not show, such as HTML, SVG and text, is an attachment all the same. */
  readonly disposition?: 'inline' | 'attachment'
  /** true: the app sends the bytes itself, to be cached by a CDN; else it redirects to the service. Rails' two modes. */
  readonly proxy?: boolean
  /** Default: it never expires. */
  readonly expiresIn?: Duration
}

type PathContext = Pick<AttachedContext, 'basePath' | 'verifier'>

/** A segment of a path, escaped as Rails escapes it. */
function segment(text: string): string {
  return encodeURIComponent(text).replaceAll(/%(?:24|26|2B|2C|3A|3B|3D|40)/g, decodeURIComponent)
}

/** The name is for people and what they save: dots alone would be taken for another folder. */
const named = (filename: string): string => segment(sanitize(filename).replace(/^\.{0,2}$/, 'file'))

function expiry(expiresIn: Duration | undefined): { readonly expiresAt?: Date } {
  return expiresIn === undefined
    ? {}
    : { expiresAt: new Date(Date.now() + parseDuration(expiresIn, 'expiresIn')) }
}

const query = ({ disposition }: PathOptions): string =>
  disposition === undefined ? '' : `?disposition=${disposition}`

/** Rails' blob ids are integers in messages, or text where the app's keys are uuids. */
export function signBlob(context: PathContext, id: string, expiresIn?: Duration): string {
  return context.verifier.generate(/^\d+$/.test(id) ? BigInt(id) : id, {
    purpose: PURPOSE.blob,
    ...expiry(expiresIn),
  })
}

/** Rails' `rails_service_blob_path`, or `rails_service_blob_proxy_path`. */
export function blobPath(
  context: PathContext,
  blob: Pick<BlobRow, 'id' | 'filename'>,
  options: PathOptions = {},
): string {
  const signedId = segment(signBlob(context, blob.id, options.expiresIn))
  return `${context.basePath}/blobs/${options.proxy === true ? 'proxy' : 'redirect'}/${signedId}/${named(blob.filename)}${query(options)}`
}

/** Where the bytes of a staged file are seen until it is attached, and found from then on. Shows, and does not let link. */
export function pendingPath(
  context: PathContext,
  file: { readonly id: string; readonly filename: string },
  options: PathOptions = {},
): string {
  const token = context.verifier.generate(file.id, {
    purpose: PURPOSE.pending,
    ...expiry(options.expiresIn),
  })
  return `${context.basePath}/pending/${segment(token)}/${named(file.filename)}${query(options)}`
}

/** Where a delayed upload is followed. */
export function uploadPath(context: PathContext, token: string): string {
  return `${context.basePath}/delayed_uploads/${segment(context.verifier.generate(token, { purpose: PURPOSE.upload }))}`
}

/** Where a page sends files before its form is submitted. The attachment is signed, so that its limits cannot be evaded. */
export function slotPath(
  context: PathContext & { readonly expiresIn: number },
  route: 'direct_uploads' | 'staged_files',
  slot: string,
): string {
  const expiresAt = new Date(Date.now() + context.expiresIn)
  return `${context.basePath}/${route}/${segment(context.verifier.generate(slot, { purpose: PURPOSE.slot, expiresAt }))}`
}

/** Where a staged file is given up. */
export function stagedPath(context: PathContext, signedId: string): string {
  return `${context.basePath}/staged_files/${segment(signedId)}`
}

/** For services without URLs of their own: Rails' route of the disk service, which serves what the token says, and only that. */
export function diskPath(
  context: PathContext,
  blob: Pick<BlobRow, 'key' | 'filename' | 'contentType' | 'serviceName'>,
  options: {
    readonly disposition: 'inline' | 'attachment'
    readonly filename: string
    readonly expiresAt: Date | undefined
  },
): string {
  const { contentType, mayBeInline } = served(blob.contentType)
  const value = {
    key: blob.key,
    disposition: contentDisposition(
      mayBeInline ? options.disposition : 'attachment',
      options.filename,
    ),
    content_type: contentType,
    service_name: Symbol.for(blob.serviceName),
  }
  const token = context.verifier.generate(value, {
    purpose: PURPOSE.disk,
    expiresAt: options.expiresAt,
  })
  return `${context.basePath}/disk/${segment(token)}/${named(options.filename)}`
}

/** The same for a browser's own upload. */
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
  return `${context.basePath}/disk/${segment(context.verifier.generate(value, { purpose: PURPOSE.diskUpload, expiresAt }))}`
}
