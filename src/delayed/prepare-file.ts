import { randomBytes } from 'node:crypto'
import { createDefaultFilename, toSafeObjectName, insertSuffix } from '../blobs/default-filename.ts'
import { blobKeyExists } from '../blobs/blob-rows.ts'
import { truncateFilename } from '../blobs/filename.ts'
import { generateKey, prefixKey } from '../blobs/blob-key.ts'
import { renewObject, reserveObject } from '../blobs/object-intents.ts'
import { toStorableFilename, toStorableKey } from '../blobs/storable-text.ts'
import { ConfigurationError, ServiceError } from '../errors/errors.ts'
import { checkKey, MAX_KEY_BYTES } from '../services/object-key.ts'
import type { FileRow } from '../staging/file-rows.ts'
import type { DelayedContext, DelayedDefinition } from './context.ts'
import { uploadErrorDetails } from './context.ts'
import { createFinalBytes, type FinalBytes } from './final-bytes.ts'
import { lockHeldUpload, type UploadRow } from './upload-rows.ts'
import { LeaseLostError } from './lease-lost.ts'

/** Bytes that are ready to be sent, under a key that is theirs. */
export interface PreparedFile extends FinalBytes {
  readonly file: FileRow
  readonly service: string
  readonly key: string
}

/**
 * Chooses name, key and service, transforms the bytes if asked to, and commits the choice together with the object's
 * intent before the first byte leaves. A later attempt keeps its key if it would send the same bytes to the same service.
 */
export async function prepareFile(
  delayed: DelayedContext,
  definition: DelayedDefinition,
  upload: UploadRow,
  file: FileRow,
  record: unknown,
  signal: AbortSignal,
): Promise<PreparedFile> {
  const details = uploadErrorDetails(upload, file.filename)
  const bytes = await createFinalBytes(delayed, definition, file, details, signal)
  try {
    const { service } = definition
    const { session } = delayed.store
    const warn = (message: string): void => delayed.log('warn', message, details)
    const sameAsBefore =
      file.blobKey !== null && file.serviceName === service && file.sentChecksum === bytes.checksum
    if (sameAsBefore && (await renewObject(session, file.blobKey)))
      return {
        ...bytes,
        file,
        service,
        key: file.blobKey,
        filename: await toStorableFilename(session, file.sentFilename ?? bytes.filename, warn),
      }
    const asked = await chooseName(definition, upload, bytes.filename, record)
    const stored = await toStorableFilename(session, asked ?? bytes.filename, warn)
    const chosen = asked === null ? null : await toStorableKey(session, stored)
    const given =
      typeof definition.keyPrefix === 'function'
        ? definition.keyPrefix(record)
        : definition.keyPrefix
    const prefix = given === undefined ? undefined : await toStorableKey(session, given)
    for (let attempt = 0; attempt < 10; attempt += 1) {
      const filename = chosen === null ? stored : toObjectName(chosen, prefix, attempt)
      const key = prefixKey(prefix, chosen === null ? generateKey() : filename)
      checkKey(key)
      if (
        await commitChoice(delayed, upload, file, {
          ...bytes,
          filename,
          key,
          service,
          named: chosen !== null,
        })
      )
        return { ...bytes, file, service, key, filename }
    }
    throw new ServiceError(
      `No free key was found for ${bytes.filename}: every candidate was taken.`,
      { details },
    )
  } catch (error) {
    await bytes.dispose()
    throw error
  }
}

const SUFFIX_LENGTH = 9
/** Shorter ones would lie on the disk service where it makes folders. */
const MIN_KEY_LENGTH = 5

/** As short as the prefix needs it, and with a random suffix where the name alone is not free. */
function toObjectName(chosen: string, prefix: string | undefined, attempt: number): string {
  const room = MAX_KEY_BYTES - Buffer.byteLength(prefixKey(prefix, '')) - SUFFIX_LENGTH
  const name = room > SUFFIX_LENGTH ? truncateFilename(chosen, room) : chosen
  const isPlain = attempt === 0 && [...prefixKey(prefix, name)].length >= MIN_KEY_LENGTH
  return isPlain ? name : insertSuffix(name, randomBytes(4).toString('hex'))
}

async function chooseName(
  definition: DelayedDefinition,
  upload: UploadRow,
  filename: string,
  record: unknown,
): Promise<string | null> {
  const { useFilename } = definition
  const name: unknown =
    typeof useFilename === 'function' ? await useFilename(record, filename) : useFilename
  if (name === false) return null
  if (name === true)
    return toSafeObjectName(
      createDefaultFilename(upload.lane.id, filename, definition.kind, new Date()),
    )
  if (typeof name !== 'string' || name.trim() === '')
    throw new ConfigurationError(
      `useFilename of ${upload.lane.type}.${upload.lane.name} returned no name: return a non-empty string.`,
      {
        details: uploadErrorDetails(upload, filename),
      },
    )
  return toSafeObjectName(name)
}

/** False: the key is taken. Nothing is left behind then. */
async function commitChoice(
  delayed: DelayedContext,
  upload: UploadRow,
  file: FileRow,
  choice: Omit<FinalBytes, 'open' | 'dispose'> & {
    readonly key: string
    readonly service: string
    /** The key is a name, which another blob may have; a random one is nobody's. */
    readonly named: boolean
  },
): Promise<boolean> {
  return delayed.store.transact(async (session) => {
    if ((await lockHeldUpload(session, upload)) === null) throw new LeaseLostError()
    if (choice.named && (await blobKeyExists(session, choice.key))) return false
    if (!(await reserveObject(session, choice.service, choice.key))) return false
    const result = await session.db
      .updateTable('files')
      .set({
        service_name: choice.service,
        blob_key: choice.key,
        sent_filename: choice.filename,
        sent_size: choice.byteSize,
        sent_checksum: choice.checksum,
        sent_type: choice.contentType,
        uploaded_bytes: 0,
      })
      .where('id', '=', file.id)
      .where('upload_token', '=', upload.token)
      .where('state', '=', 'staged')
      .executeTakeFirst()
    if (Number(result.numUpdatedRows) !== 1) throw new LeaseLostError()
    return true
  })
}
