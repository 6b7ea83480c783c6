import { randomBytes } from 'node:crypto'
import { defaultFilename, safeObjectName, withSuffix } from '../blobs/default-filename.ts'
import { blobKeyExists } from '../blobs/blob-rows.ts'
import { cut } from '../blobs/filename.ts'
import { generateKey, prefixed } from '../blobs/key.ts'
import { renewObject, reserveObject } from '../blobs/object-intents.ts'
import { storableFilename, storableKey } from '../blobs/storable.ts'
import { ConfigurationError, ServiceError } from '../errors.ts'
import { checkKey, MAX_KEY } from '../services/object-key.ts'
import type { FileRow } from '../staging/file-rows.ts'
import type { Delayed, DelayedDefinition } from './definition.ts'
import { detailsOf } from './definition.ts'
import { finalBytes, type Bytes } from './final-bytes.ts'
import { fence, type UploadRow } from './upload-rows.ts'
import { LeaseLost } from './lease-lost.ts'

/** Bytes that are ready to be sent, under a key that is theirs. */
export interface Prepared extends Bytes {
  readonly file: FileRow
  readonly service: string
  readonly key: string
}

/**
 * Chooses name, key and service, transforms the bytes if asked to, and commits the choice together with the object's
 * intent before the first byte leaves. A later attempt keeps its key if it would send the same bytes to the same service.
 */
export async function prepareFile(
  delayed: Delayed,
  definition: DelayedDefinition,
  upload: UploadRow,
  file: FileRow,
  record: unknown,
  signal: AbortSignal,
): Promise<Prepared> {
  const details = detailsOf(upload, file.filename)
  const bytes = await finalBytes(delayed, definition, file, details, signal)
  try {
    const { service } = definition
    const { session } = delayed.store
    const warn = (message: string): void => delayed.report('warn', message, details)
    const sameAsBefore =
      file.blobKey !== null && file.serviceName === service && file.sentChecksum === bytes.checksum
    if (sameAsBefore && (await renewObject(session, file.blobKey)))
      return {
        ...bytes,
        file,
        service,
        key: file.blobKey,
        filename: await storableFilename(session, file.sentFilename ?? bytes.filename, warn),
      }
    const asked = await chooseName(definition, upload, bytes.filename, record)
    const stored = await storableFilename(session, asked ?? bytes.filename, warn)
    const chosen = asked === null ? null : await storableKey(session, stored)
    const given =
      typeof definition.keyPrefix === 'function'
        ? definition.keyPrefix(record)
        : definition.keyPrefix
    const prefix = given === undefined ? undefined : await storableKey(session, given)
    for (let attempt = 0; attempt < 10; attempt += 1) {
      const filename = chosen === null ? stored : objectName(chosen, prefix, attempt)
      const key = prefixed(prefix, chosen === null ? generateKey() : filename)
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

const SUFFIX = 9
/** Shorter ones would lie on the disk service where it makes folders. */
const SHORTEST = 5

/** As short as the prefix needs it, and with a random suffix where the name alone is not free. */
function objectName(chosen: string, prefix: string | undefined, attempt: number): string {
  const room = MAX_KEY - Buffer.byteLength(prefixed(prefix, '')) - SUFFIX
  const name = room > SUFFIX ? cut(chosen, room) : chosen
  const isPlain = attempt === 0 && [...prefixed(prefix, name)].length >= SHORTEST
  return isPlain ? name : withSuffix(name, randomBytes(4).toString('hex'))
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
    return safeObjectName(defaultFilename(upload.lane.id, filename, definition.kind, new Date()))
  if (typeof name !== 'string' || name.trim() === '')
    throw new ConfigurationError(
      `useFilename of ${upload.lane.type}.${upload.lane.name} returned no name: return a non-empty string.`,
      {
        details: detailsOf(upload, filename),
      },
    )
  return safeObjectName(name)
}

/** False: the key is taken. Nothing is left behind then. */
async function commitChoice(
  delayed: Delayed,
  upload: UploadRow,
  file: FileRow,
  choice: Omit<Bytes, 'open' | 'dispose'> & {
    readonly key: string
    readonly service: string
    /** The key is a name, which another blob may have; a random one is nobody's. */
    readonly named: boolean
  },
): Promise<boolean> {
  return delayed.store.transact(async (session) => {
    if ((await fence(session, upload)) === null) throw new LeaseLost()
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
    if (Number(result.numUpdatedRows) !== 1) throw new LeaseLost()
    return true
  })
}
