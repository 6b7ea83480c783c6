import { generateKey, prefixKey } from '../blobs/blob-key.ts'
import { blobKeyExists } from '../blobs/blob-rows.ts'
import { renewObject, reserveObject } from '../blobs/object-intents.ts'
import { toStorableFilename, toStorableKey } from '../blobs/storable-text.ts'
import { ConfigurationError, ServiceError } from '../errors/errors.ts'
import { checkKey } from '../services/object-key.ts'
import type { Service } from '../services/service.ts'
import type { FileRow } from '../staging/file-rows.ts'
import { chooseName, toObjectName } from './choose-name.ts'
import { uploadErrorDetails } from './context.ts'
import { createFinalBytes, type FinalBytes } from './final-bytes.ts'
import { LeaseLostError } from './lease-lost.ts'
import type { UploadAttempt } from './upload-attempt.ts'
import { isLeaseHeld, lockHeldUpload } from './upload-rows.ts'

/** A file whose bytes are ready to be sent, under a key that only it has. */
export interface PreparedFile extends FinalBytes {
  readonly file: FileRow
  readonly service: Service
  readonly serviceName: string
  readonly key: string
}

/** Number of keys that are tried, because one may be taken. */
const MAX_KEY_ATTEMPTS = 10

/**
 * Transforms the bytes if `variantInfo` says so, chooses filename and key, and commits them
 * together with the object's intent, before the first byte is sent. A later attempt keeps its key
 * if it sends the same bytes to the same service. The caller must call `dispose`. Throws
 * LeaseLostError, and ConfigurationError if the service or a name of the app is wrong.
 */
export async function prepareFile(attempt: UploadAttempt, file: FileRow): Promise<PreparedFile> {
  const { context, definition, upload } = attempt
  const serviceName = definition.service
  const service = context.services[serviceName]
  const details = uploadErrorDetails(upload, file.filename)
  if (service === undefined)
    throw new ConfigurationError(
      `${upload.lane.type}.${upload.lane.name} goes to the service '${serviceName}', which is not configured.`,
      { details },
    )
  const bytes = await createFinalBytes(attempt, file)
  try {
    const { session } = context.store
    const warn = (message: string): void => context.log('warn', message, details)
    const hasSameBytes =
      file.blobKey !== null &&
      file.serviceName === serviceName &&
      file.sentChecksum === bytes.checksum
    if (hasSameBytes && (await renewObject(session, file.blobKey))) {
      const given = file.sentFilename ?? bytes.filename
      const filename = await toStorableFilename(session, given, warn)
      return { ...bytes, file, service, serviceName, key: file.blobKey, filename }
    }
    const name = await chooseName(attempt, bytes.filename)
    const stored = await toStorableFilename(session, name ?? bytes.filename, warn)
    const nameInKey = name === null ? null : await toStorableKey(session, stored)
    const prefix = await readKeyPrefix(attempt)
    for (let round = 0; round < MAX_KEY_ATTEMPTS; round += 1) {
      const filename = nameInKey === null ? stored : toObjectName(nameInKey, prefix, round)
      const key = prefixKey(prefix, nameInKey === null ? generateKey() : filename)
      checkKey(key)
      const prepared = { ...bytes, file, service, serviceName, key, filename }
      if (await commitChoice(attempt, prepared, { isNamed: nameInKey !== null })) return prepared
    }
    throw new ServiceError(
      `No free key was found for ${bytes.filename}: another file has each one that was tried.`,
      { details },
    )
  } catch (error) {
    await bytes.dispose()
    throw error
  }
}

async function readKeyPrefix({
  context,
  definition: { keyPrefix },
  record,
}: UploadAttempt): Promise<string | undefined> {
  const prefix = typeof keyPrefix === 'function' ? keyPrefix(record) : keyPrefix
  return prefix === undefined ? undefined : toStorableKey(context.store.session, prefix)
}

/**
 * Commits the key and what is sent under it. Returns false when the key is taken, and then writes
 * nothing. `isNamed`: the key is made of a name, so that another blob may have it; a random key
 * needs no look.
 */
async function commitChoice(
  { context, upload }: UploadAttempt,
  { file, serviceName, key, filename, byteSize, checksum, contentType }: PreparedFile,
  { isNamed }: { readonly isNamed: boolean },
): Promise<boolean> {
  return context.store.transact(async (session) => {
    if ((await lockHeldUpload(session, upload)) === null) throw new LeaseLostError()
    if (isNamed && (await blobKeyExists(session, key))) return false
    if (!(await reserveObject(session, serviceName, key))) return false
    const { numUpdatedRows } = await session.db
      .updateTable('files')
      .set({
        service_name: serviceName,
        blob_key: key,
        sent_filename: filename,
        sent_size: byteSize,
        sent_checksum: checksum,
        sent_type: contentType,
        uploaded_bytes: 0,
      })
      .where('id', '=', file.id)
      .where('upload_token', '=', upload.token)
      .where('state', '=', 'staged')
      .executeTakeFirst()
    if (Number(numUpdatedRows) !== 1) throw new LeaseLostError()
    return true
  })
}

/**
 * Makes the next attempt choose another key. This one is another file's, or the service may still
 * store an object under it.
 */
export async function clearChosenKey(
  { context, upload }: UploadAttempt,
  file: FileRow,
): Promise<void> {
  await context.store.session.db
    .updateTable('files')
    .set({ blob_key: null })
    .where('id', '=', file.id)
    .where('state', '=', 'staged')
    .where(isLeaseHeld(upload))
    .execute()
}
