import { readTokenId } from './signed-tokens.ts'
import { findBlob, insertBlob, findUnattachedBlobs } from '../blobs/blob-rows.ts'
import { abandonObject, keepObject } from '../blobs/object-intents.ts'
import { storeObject } from '../blobs/store-object.ts'
import { ConfigurationError, InvalidInputError, ServiceError } from '../errors/errors.ts'
import { formatValue } from '../errors/message.ts'
import { checkFileSize } from '../staging/limits.ts'
import { parseDuration, type Duration } from '../options/units.ts'
import { readAttachable, type Attachable } from './attachable.ts'
import { isTooLargeId, readRowId } from './row-id.ts'
import type { StorageContext } from './context.ts'
import { announceDirectUpload } from './direct-upload.ts'
import { toStoredBlob } from './stored-values.ts'
import type { StoredBlob } from './values.ts'

/** Options of `createAndUpload`. */
interface CreateBlobOptions {
  /** Default: the storage's default service. */
  readonly service?: string
  readonly signal?: AbortSignal
}

/** `storage.blobs`: blobs, whether they are attached or not. */
export interface Blobs {
  /**
   * Finds a blob. null: there is none. Throws InvalidInputError for an id that is neither a number
   * nor a UUID.
   */
  find(id: bigint | number | string): Promise<StoredBlob | null>
  /**
   * Finds the blob of a signed id. null: the id was not signed by this storage or has expired, or
   * the blob is gone.
   */
  findSigned(signedId: string): Promise<StoredBlob | null>
  /**
   * Uploads a file now and attaches it to nothing: Rails' `create_and_upload!`. Throws as `attach`
   * does.
   */
  createAndUpload(file: Attachable, options?: CreateBlobOptions): Promise<StoredBlob>
  /**
   * Creates the blob of a file that a browser then sends to the service with the returned headers:
   * Rails' `create_before_direct_upload!`. Attach the blob by its signed id; its bytes are checked
   * then. The URL expires after five minutes. Throws InvalidInputError, and FileTooLargeError above
   * `staging.maxSize`.
   */
  createBeforeDirectUpload(options: {
    readonly filename: string
    /** Bytes. */
    readonly byteSize: number
    /** Base64 MD5. */
    readonly checksum: string
    readonly contentType?: string
    readonly service?: string
    /** Ends the wait for the service. A blob that was inserted by then stays, unattached. */
    readonly signal?: AbortSignal
  }): Promise<{
    readonly blob: StoredBlob
    readonly url: string
    readonly headers: Readonly<Record<string, string>>
  }>
  /**
   * Lists blobs that nothing uses, oldest first, such as those of abandoned forms: Rails'
   * `unattached`.
   */
  unattached(options?: { readonly olderThan?: Duration }): AsyncIterable<StoredBlob>
}

/** Rows per statement of `unattached`. */
const BLOBS_PER_PAGE = 200

/** Creates `storage.blobs`. */
export function createBlobs(context: StorageContext): Blobs {
  const find = async (given: unknown): Promise<StoredBlob | null> => {
    const id = readRowId(given)
    if (id === null)
      throw new InvalidInputError(
        `${formatValue(given)} is no blob id: give a number, or text with a number or a UUID.`,
      )
    if (isTooLargeId(id)) return null
    const { session } = await context.store()
    const row = await findBlob(session, { id }).catch(ignoreWrongIdType)
    return row === null ? null : toStoredBlob(context, row)
  }
  return {
    find,
    async findSigned(signedId) {
      const id = readTokenId(context, 'blob', signedId)
      return id === null ? null : find(id)
    },
    createAndUpload: (file, options) => createAndUpload(context, file, options),
    createBeforeDirectUpload: (options) => createBeforeDirectUpload(context, options),
    unattached: (options) => listUnattached(context, options),
  }
}

async function createAndUpload(
  context: StorageContext,
  file: Attachable,
  { service: serviceName = context.defaultService, signal }: CreateBlobOptions = {},
): Promise<StoredBlob> {
  const service = context.services[serviceName]
  if (service === undefined) throw new ConfigurationError(`There is no service '${serviceName}'.`)
  const input = await readAttachable(file, {})
  if (input?.kind !== 'bytes')
    throw new InvalidInputError('createAndUpload takes a file with bytes.')
  const details = { filename: input.file.filename }
  const store = await context.store()
  const blob = await storeObject(store.session, input.file, {
    serviceName,
    service,
    keyPrefix: undefined,
    details,
    signal,
    warn: (message) => context.log('warn', message, details),
    checkType: () => undefined,
    checkSize: (size) => checkFileSize(size, { maxSize: context.maxSize }, details),
  })
  try {
    const row = await store.transact(async (session) => {
      const inserted = await insertBlob(session, blob)
      if (await keepObject(session, blob.key)) return inserted
      throw new ServiceError(
        `The upload of ${blob.filename} took so long that its clean-up began. Upload it again.`,
        { details },
      )
    })
    return toStoredBlob(context, row)
  } catch (error) {
    await abandonObject(store.session, blob.serviceName, blob.key)
    throw error
  }
}

async function createBeforeDirectUpload(
  context: StorageContext,
  options: Parameters<Blobs['createBeforeDirectUpload']>[0],
): ReturnType<Blobs['createBeforeDirectUpload']> {
  const { service = context.defaultService, signal, ...file } = options ?? {}
  for (const name of ['filename', 'checksum', 'contentType'] as const) {
    const isAbsent = name === 'contentType' && file[name] === undefined
    if (typeof file[name] !== 'string' && !isAbsent)
      throw new InvalidInputError(
        `createBeforeDirectUpload: ${name} is ${formatValue(file[name])}: give text.`,
      )
  }
  const { blob, url, headers } = await announceDirectUpload(context, service, file, {
    limits: { maxSize: context.maxSize },
    keyPrefix: undefined,
    name: undefined,
    signal,
  })
  return { blob: toStoredBlob(context, blob), url, headers }
}

async function* listUnattached(
  context: StorageContext,
  { olderThan }: { readonly olderThan?: Duration } = {},
): AsyncGenerator<StoredBlob> {
  const age = olderThan === undefined ? 0 : parseDuration(olderThan, 'olderThan')
  for (let after: string | null = null; ;) {
    const { session } = await context.store()
    const rows = await findUnattachedBlobs(session, {
      after,
      olderThan: age,
      limit: BLOBS_PER_PAGE,
    })
    for (const row of rows) yield toStoredBlob(context, row)
    const last = rows.at(-1)
    if (last === undefined) return
    after = last.id
  }
}

/**
 * Returns null for PostgreSQL's error about an id of another type, and throws others. PostgreSQL
 * refuses to compare a UUID with a number, or a number with a smaller integer type; no row has such
 * an id.
 */
function ignoreWrongIdType(error: unknown): null {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === '22P02' || code === '22003') return null
  throw error
}
