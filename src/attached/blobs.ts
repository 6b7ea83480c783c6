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
import { type StorageContext } from './context.ts'
import { announceDirectUpload } from './direct-upload.ts'
import { toStoredBlob } from './stored-values.ts'
import type { StoredBlob } from './values.ts'

/** `storage.blobs`: blobs by themselves, attached or not. */
export interface Blobs {
  /** null: there is none. Throws InvalidInputError on what is neither a number nor a uuid. */
  find(id: bigint | number | string): Promise<StoredBlob | null>
  /** null: not signed by this storage, expired, or gone. */
  findSigned(signedId: string): Promise<StoredBlob | null>
  /** Uploads now; the blob is attached to nothing yet. Throws like `attach`. */
  createAndUpload(
    file: Attachable,
    options?: { readonly service?: string; readonly signal?: AbortSignal },
  ): Promise<StoredBlob>
  /**
   * Rails' `create_before_direct_upload!`: makes the blob of a file that a browser then sends to the service itself, with
   * the headers given. Attach it by its signed id; its bytes are looked at then. The URL works for five minutes.
   * Throws InvalidInputError, or FileTooLargeError above `staging.maxSize`.
   */
  createBeforeDirectUpload(options: {
    readonly filename: string
    /** Bytes. */
    readonly byteSize: number
    /** Base64 MD5. */
    readonly checksum: string
    readonly contentType?: string
    readonly service?: string
  }): Promise<{
    readonly blob: StoredBlob
    readonly url: string
    readonly headers: Readonly<Record<string, string>>
  }>
  /** Blobs that nothing uses, oldest first: what abandoned forms leave behind. Rails' `unattached`. */
  unattached(options?: { readonly olderThan?: Duration }): AsyncIterable<StoredBlob>
}

const BLOBS_PER_PAGE = 200

export function createBlobs(context: StorageContext): Blobs {
  const find = async (given: unknown): Promise<StoredBlob | null> => {
    const id = readRowId(given)
    if (id === null)
      throw new InvalidInputError(
        `${formatValue(given)} is no blob id. Give the id of a blob, as a number or text.`,
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
    async createAndUpload(file, options = {}) {
      const serviceName = options.service ?? context.defaultService
      const service = context.services[serviceName]
      if (service === undefined)
        throw new ConfigurationError(`There is no service '${serviceName}'.`)
      const input = await readAttachable(file, {})
      if (input === null || input.kind !== 'bytes')
        throw new InvalidInputError('createAndUpload takes a file with bytes.')
      const details = { filename: input.file.filename }
      const store = await context.store()
      const blob = await storeObject(store.session, input.file, {
        serviceName,
        service,
        keyPrefix: undefined,
        details,
        signal: options.signal,
        warn: (message) => context.log('warn', message, details),
        checkType: () => undefined,
        checkSize: (size) => checkFileSize(size, { maxSize: context.maxSize }, details),
      })
      const row = await store
        .transact(async (session) => {
          const inserted = await insertBlob(session, blob)
          if (!(await keepObject(session, blob.key)))
            throw new ServiceError(
              `The transfer of ${blob.filename} took so long that its clean-up began. Send it again.`,
              { details },
            )
          return inserted
        })
        .catch(async (error: unknown) => {
          await abandonObject(store.session, blob.serviceName, blob.key)
          throw error
        })
      return toStoredBlob(context, row)
    },
    async createBeforeDirectUpload(given) {
      const { service = context.defaultService, ...announced } = given ?? {}
      for (const name of ['filename', 'checksum', 'contentType'] as const)
        if (
          typeof announced[name] !== 'string' &&
          !(name === 'contentType' && announced[name] === undefined)
        )
          throw new InvalidInputError(
            `createBeforeDirectUpload: ${name} is ${formatValue(announced[name])}: give text.`,
          )
      const { blob, url, headers } = await announceDirectUpload(context, service, announced, {
        limits: { maxSize: context.maxSize },
        keyPrefix: undefined,
        name: undefined,
      })
      return { blob: toStoredBlob(context, blob), url, headers }
    },
    async *unattached({ olderThan } = {}) {
      const age = olderThan === undefined ? 0 : parseDuration(olderThan, 'olderThan')
      for (let after: string | null = null; ;) {
        const rows = await findUnattachedBlobs((await context.store()).session, {
          after,
          olderThan: age,
          limit: BLOBS_PER_PAGE,
        })
        for (const row of rows) yield toStoredBlob(context, row)
        const last = rows.at(-1)
        if (last === undefined) return
        after = last.id
      }
    },
  }
}

/** PostgreSQL compares no uuid with a number, and no number with a smaller one's type: by its codes, which are the standard's. */
function ignoreWrongIdType(error: unknown): null {
  if (['22P02', '22003'].includes(String((error as { code?: unknown }).code))) return null
  throw error
}
