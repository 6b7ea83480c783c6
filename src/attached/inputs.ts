import { readStagedId, readTokenId } from './signed-tokens.ts'
import type { BlobRow, NewBlob } from '../blobs/blob-rows.ts'
import { findBlob, parseMetadata } from '../blobs/blob-rows.ts'
import { identifyContentType } from '../blobs/content-type.ts'
import type { IncomingFile } from '../blobs/incoming-file.ts'
import { storeObject } from '../blobs/store-object.ts'
import { describeLane } from '../attachments/lane.ts'
import { FileNotFoundError, IntegrityError, InvalidSignatureError } from '../errors/errors.ts'
import { checkFileCount, checkFileSize, checkFileType } from '../staging/limits.ts'
import type { FileRow } from '../staging/file-rows.ts'
import { createJoinedTarget, stageIncomingFile } from '../staging/stage.ts'
import { readAttachable, type AttachableInput } from './attachable.ts'
import type { Changes } from './changes.ts'
import { requireService } from './context.ts'
import { openSession, type AttachmentScope } from './scope.ts'
import { findStagedId } from './staged-file.ts'

/** Bytes that are read to identify a content type: as many as the search for markup needs. */
const IDENTIFY_BYTES = 65_536

/** One input of a submission, by where its bytes are. */
export type ResolvedInput =
  | { readonly kind: 'staged'; readonly id: string }
  | { readonly kind: 'blob'; readonly blob: BlobRow }
  | { readonly kind: 'bytes'; readonly file: IncomingFile }

/** Reads the files of a submission and verifies signed ids. Reads only the rows of stored blobs. */
export async function resolveInputs(
  scope: AttachmentScope,
  changes: Changes,
): Promise<ResolvedInput[]> {
  const details = describeLane(scope.lane)
  const inputs: AttachableInput[] = []
  for (const file of changes.files) {
    const input = await readAttachable(file, details)
    if (input !== null) inputs.push(input)
  }
  const selection = scope.definition.kind === 'one' ? inputs.slice(-1) : inputs
  checkFileCount(
    selection.length,
    scope.definition.kind === 'many' ? scope.definition.maxFiles : undefined,
    details,
  )
  const result: ResolvedInput[] = []
  for (const input of selection)
    result.push(input.kind === 'bytes' ? input : await resolveReference(scope, input))
  return result
}

async function resolveReference(
  scope: AttachmentScope,
  input: Exclude<AttachableInput, { kind: 'bytes' }>,
): Promise<ResolvedInput> {
  if (input.kind === 'signed') return resolveSignedId(scope, input.signedId)
  const id = findStagedId(input.file, scope.context)
  return id === null ? resolveSignedId(scope, input.file.signedId) : { kind: 'staged', id }
}

async function resolveSignedId(scope: AttachmentScope, signedId: string): Promise<ResolvedInput> {
  const details = describeLane(scope.lane)
  const stagedId = readStagedId(scope.context, signedId)
  if (stagedId !== null) return { kind: 'staged', id: stagedId }
  const blobId = readTokenId(scope.context, 'blob', signedId)
  if (blobId === null)
    throw new InvalidSignatureError(
      `The signed id for ${scope.lane.name} is not valid here: it was changed, has expired, or was signed with another secret.`,
      { details },
    )
  const { session } = await openSession(scope)
  const blob = await findBlob(session, { id: blobId })
  if (blob === null)
    throw new FileNotFoundError('The blob of this signed id was deleted.', { details })
  const named = { ...details, filename: blob.filename }
  checkFileSize(blob.byteSize, scope.definition.limits, named)
  if (!(await requireService(scope.context, blob.serviceName).exists(blob.key)))
    throw new FileNotFoundError(`The bytes of ${blob.filename} were never uploaded, or are gone.`, {
      details: named,
    })
  const contentType = await identifyBlob(scope, blob)
  checkFileType(contentType, scope.definition.limits, named)
  return { kind: 'blob', blob: { ...blob, contentType } }
}

/**
 * Returns the content type of a blob. After a direct upload it identifies the type from the bytes,
 * as Rails does at attach. Throws IntegrityError if these bytes show that the object is shorter or
 * longer than its row says: it could never be served.
 */
async function identifyBlob(scope: AttachmentScope, blob: BlobRow): Promise<string> {
  const declared = blob.contentType ?? 'application/octet-stream'
  if (parseMetadata(blob.metadata)['identified'] === true || blob.byteSize === 0) return declared
  const service = requireService(scope.context, blob.serviceName)
  const chunks: Uint8Array[] = []
  // The range has one byte more than a small object, so that a longer one shows.
  const range = [0, Math.min(blob.byteSize, IDENTIFY_BYTES - 1)] as const
  for await (const chunk of await service.download(blob.key, { range })) chunks.push(chunk)
  const head = Buffer.concat(chunks)
  if (head.length !== Math.min(blob.byteSize, IDENTIFY_BYTES))
    throw new IntegrityError(
      `The object of ${blob.filename} has not the ${blob.byteSize} bytes of its blob: correct byte_size, or upload it again.`,
      { details: { ...describeLane(scope.lane), filename: blob.filename } },
    )
  return identifyContentType(head, blob.filename, declared)
}

/**
 * Stages raw bytes and returns the ids of all staged files in input order. Adds the rows to
 * `stagedHere` at once, so that the caller can drop them after an error. Inside a user's
 * transaction it stages through that connection.
 */
export async function stageResolved(
  scope: AttachmentScope,
  inputs: readonly ResolvedInput[],
  stagedHere: FileRow[],
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const { session, store } = await openSession(scope)
  const ids: string[] = []
  for (const input of inputs) {
    if (input.kind === 'staged') ids.push(input.id)
    if (input.kind !== 'bytes') continue
    const row = await stageIncomingFile(
      scope.session === null ? store : createJoinedTarget(session),
      input.file,
      {
        expiresIn: scope.context.expiresIn,
        limits: scope.definition.limits,
        details: describeLane(scope.lane),
        signal,
      },
    )
    stagedHere.push(row)
    ids.push(row.id)
  }
  return ids
}

/** Uploads bytes to the service, before the blob's row is written. */
export async function uploadInput(
  scope: AttachmentScope,
  file: IncomingFile,
  signal?: AbortSignal,
): Promise<NewBlob> {
  const { lane, definition, context } = scope
  const store = await context.store()
  const details = { ...describeLane(lane), filename: file.filename }
  const record =
    typeof definition.keyPrefix === 'function'
      ? ((await context.findRecord(lane.type, lane.id)) ?? { type: lane.type, id: lane.id })
      : null
  return storeObject(store.session, file, {
    serviceName: definition.service,
    service: requireService(scope.context, definition.service),
    keyPrefix:
      typeof definition.keyPrefix === 'function'
        ? definition.keyPrefix(record)
        : definition.keyPrefix,
    details,
    signal,
    warn: (message) => context.log('warn', message, details),
    checkSize: (size) => checkFileSize(size, definition.limits, details),
    checkType: (type) => checkFileType(type, definition.limits, details),
  })
}
