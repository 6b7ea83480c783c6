import type { BlobRow, NewBlob } from '../blobs/blob-rows.ts'
import { findBlob, parseMetadata } from '../blobs/blob-rows.ts'
import { identifyContentType } from '../blobs/content-type.ts'
import type { IncomingFile } from '../blobs/incoming.ts'
import { storeObject } from '../blobs/store-object.ts'
import { FileNotFoundError, InvalidSignatureError } from '../errors.ts'
import { checkCount, checkSize, checkType } from '../staging/limits.ts'
import { insideTransaction, stageFile } from '../staging/stage.ts'
import { readAttachable, type Input } from './attachable.ts'
import type { Changes } from './changes.ts'
import { PURPOSE, serviceOf } from './context.ts'
import { detailsOf, reader, type SlotScope } from './scope.ts'

/** Bytes that are read to tell a content type: as many as are looked at for markup. */
const HEAD = 65_536

/** What came in, told apart. */
export type Ready =
  | { readonly kind: 'staged'; readonly id: string }
  | { readonly kind: 'blob'; readonly blob: BlobRow }
  | { readonly kind: 'bytes'; readonly file: IncomingFile }

/** Tells apart what came in; signed ids are verified, nothing is read or written but a blob's row. */
export async function ready(scope: SlotScope, changes: Changes): Promise<Ready[]> {
  const details = detailsOf(scope.lane)
  const inputs: Input[] = []
  for (const file of changes.files) {
    const input = await readAttachable(file, details)
    if (input !== null) inputs.push(input)
  }
  const taken = scope.definition.kind === 'one' ? inputs.slice(-1) : inputs
  checkCount(
    taken.length,
    scope.definition.kind === 'many' ? scope.definition.maxFiles : undefined,
    details,
  )
  const result: Ready[] = []
  for (const input of taken)
    result.push(input.kind === 'bytes' ? input : await resolveSigned(scope, input.signedId))
  return result
}

async function resolveSigned(scope: SlotScope, signedId: string): Promise<Ready> {
  const { verifier } = scope.context
  const details = detailsOf(scope.lane)
  const staged = verifier.verify(signedId, { purpose: PURPOSE.staged })
  // Whether it has expired is told by the database's clock.
  if (staged !== null) return { kind: 'staged', id: String(staged.value) }
  const signed = verifier.verify(signedId, { purpose: PURPOSE.blob })
  if (signed === null || 'expired' in signed)
    throw new InvalidSignatureError(
      `The signed id for ${scope.lane.name} is not valid here: it was changed, has expired, or was signed with another secret.`,
      { details },
    )
  const { session } = await reader(scope)
  const blob = await findBlob(session, { id: String(signed.value) })
  if (blob === null) throw new FileNotFoundError('The blob of this signed id is gone.', { details })
  const named = { ...details, filename: blob.filename }
  checkSize(blob.byteSize, scope.definition.limits, named)
  if (!(await serviceOf(scope.context, blob.serviceName).exists(blob.key)))
    throw new FileNotFoundError(`The bytes of ${blob.filename} were never uploaded, or are gone.`, {
      details: named,
    })
  const contentType = await identified(scope, blob)
  checkType(contentType, scope.definition.limits, named)
  return { kind: 'blob', blob: { ...blob, contentType } }
}

/** A browser that uploads by itself also says what it uploads; what counts is told from the bytes, as Rails does at attach. */
async function identified(scope: SlotScope, blob: BlobRow): Promise<string> {
  const declared = blob.contentType ?? 'application/octet-stream'
  if (parseMetadata(blob.metadata)['identified'] === true || blob.byteSize === 0) return declared
  const service = serviceOf(scope.context, blob.serviceName)
  const head: Uint8Array[] = []
  for await (const chunk of await service.download(blob.key, {
    range: [0, Math.min(blob.byteSize, HEAD) - 1],
  }))
    head.push(chunk)
  return identifyContentType(Buffer.concat(head), blob.filename, declared)
}

/** Ids of staged files, in order; those staged here are noted in `staged` at once. Stages what came as bytes: before the user's transaction on the pool, inside it through its own connection. */
export async function stageAll(
  scope: SlotScope,
  inputs: readonly Ready[],
  staged: string[],
): Promise<string[]> {
  const { session, store } = await reader(scope)
  const ids: string[] = []
  for (const input of inputs) {
    if (input.kind === 'staged') ids.push(input.id)
    if (input.kind !== 'bytes') continue
    const row = await stageFile(
      scope.session === null ? store : insideTransaction(session),
      input.file,
      {
        expiresIn: scope.context.expiresIn,
        limits: scope.definition.limits,
        details: detailsOf(scope.lane),
      },
    )
    staged.push(row.id)
    ids.push(row.id)
  }
  return ids
}

/** Sends bytes to the service now, for a blob whose row comes next. */
export async function upload(
  scope: SlotScope,
  file: IncomingFile,
  signal?: AbortSignal,
): Promise<NewBlob> {
  const { lane, definition, context } = scope
  const store = await context.store()
  const details = { ...detailsOf(lane), filename: file.filename }
  const record =
    typeof definition.keyPrefix === 'function'
      ? ((await context.findRecord(lane.type, lane.id)) ?? { type: lane.type, id: lane.id })
      : null
  return storeObject(store.session, file, {
    serviceName: definition.service,
    service: serviceOf(scope.context, definition.service),
    keyPrefix:
      typeof definition.keyPrefix === 'function'
        ? definition.keyPrefix(record)
        : definition.keyPrefix,
    details,
    signal,
    warn: (message) => context.report('warn', message, details),
    checkSize: (size) => checkSize(size, definition.limits, details),
    checkType: (type) => checkType(type, definition.limits, details),
  })
}
