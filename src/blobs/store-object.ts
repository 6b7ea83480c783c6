import { createReadStream } from 'node:fs'
import type { Session } from '../database/session.ts'
import { ServiceError, type ErrorDetails } from '../errors/errors.ts'
import { checkKey } from '../services/object-key.ts'
import type { Service } from '../services/service.ts'
import { generateKey, prefixKey } from './blob-key.ts'
import type { NewBlob } from './blob-rows.ts'
import { identifyContentType } from './content-type.ts'
import { normalizeFilename } from './filename.ts'
import { readIncomingFile, type IncomingFile } from './incoming-file.ts'
import { createMd5 } from './md5-hash.ts'
import { cleanUpFailedTransfer, renewDuringTransfer, reserveObject } from './object-intents.ts'
import { toServiceMetadata } from './safe-content-type.ts'
import { toStorableFilename, toStorableKey } from './storable-text.ts'
import { TemporaryFolder } from './temporary-folder.ts'

/** Number of first bytes that identify the content type: enough for all tracks of a film. */
const TYPE_HEAD_BYTES = 512 * 1024

/** Options of `storeObject`. */
export interface StoreObjectOptions {
  readonly serviceName: string
  readonly service: Service
  /** Put before the key, with a `/` between. */
  readonly keyPrefix: string | undefined
  /** Record and attachment, for errors. */
  readonly details: ErrorDetails
  readonly signal?: AbortSignal | undefined
  /** Called when the filename had to change. */
  warn(message: string): void
  /** Throws when the bytes so far are too many. */
  checkSize(size: number): void
  /** Throws when the content type is not accepted. */
  checkType(contentType: string): void
}

/** A file on the temporary disk, measured. */
interface ReceivedFile {
  readonly path: string
  readonly byteSize: number
  readonly checksum: string
  readonly contentType: string
}

/**
 * Stores an object and returns the row of its blob, which the caller inserts. The bytes go through
 * a temporary file, because a service needs size and MD5 first. The object's intent is committed
 * before the first byte is sent; the transaction that inserts the blob calls `keepObject`. Throws
 * InvalidInputError when the bytes cannot be read, ServiceError when they cannot be stored, and the
 * errors of `checkSize` and `checkType`.
 */
export async function storeObject(
  session: Session,
  file: IncomingFile,
  options: StoreObjectOptions,
): Promise<NewBlob> {
  const filename = normalizeFilename(file.filename)
  const details = { ...options.details, filename }
  const folder = await TemporaryFolder.create(filename, details)
  try {
    const received = await receive(file, folder, details, options)
    const key = await toStorableKey(session, prefixKey(options.keyPrefix, generateKey()))
    await sendObject(session, key, received, details, options)
    return {
      key,
      filename: await toStorableFilename(session, filename, options.warn),
      contentType: received.contentType,
      serviceName: options.serviceName,
      byteSize: received.byteSize,
      checksum: received.checksum,
    }
  } finally {
    await folder.remove()
  }
}

/** Writes the bytes to the temporary folder, measures and checks them. */
async function receive(
  file: IncomingFile,
  folder: TemporaryFolder,
  details: ErrorDetails & { readonly filename: string },
  { signal, checkSize, checkType }: StoreObjectOptions,
): Promise<ReceivedFile> {
  const hash = createMd5()
  let byteSize = 0
  const head: Uint8Array[] = []
  const measured = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of readIncomingFile(file, details, signal)) {
      // A copy, because the source may fill the same buffer again.
      if (byteSize < TYPE_HEAD_BYTES) head.push(Buffer.from(chunk))
      byteSize += chunk.length
      checkSize(byteSize)
      hash.update(chunk)
      yield chunk
    }
  }
  const path = await folder.write('bytes', measured())
  const contentType = await identifyContentType(
    Buffer.concat(head),
    details.filename,
    file.declaredType,
  )
  checkType(contentType)
  return { path, byteSize, checksum: hash.digest(), contentType }
}

/**
 * Reserves the key and sends the bytes. After a failure the object will be deleted, if there is
 * one.
 */
async function sendObject(
  session: Session,
  key: string,
  { path, byteSize, checksum, contentType }: ReceivedFile,
  details: ErrorDetails & { readonly filename: string },
  { service, serviceName, signal }: StoreObjectOptions,
): Promise<void> {
  // The key is checked before the intent is written, because a key that no service accepts could
  // not be deleted either.
  checkKey(key)
  if (!(await reserveObject(session, serviceName, key)))
    throw new ServiceError(`The key ${key} is taken. Try again.`, { details })
  const createLostError = (): ServiceError =>
    new ServiceError(
      `The transfer of ${details.filename} took so long that its clean-up began. Send it again.`,
      { details },
    )
  const bytes = renewDuringTransfer(session, key, createReadStream(path), createLostError)
  try {
    await service.upload(key, bytes, {
      byteSize,
      checksum,
      ...toServiceMetadata(contentType, details.filename),
      ...(signal === undefined ? {} : { signal }),
    })
  } catch (error) {
    await cleanUpFailedTransfer(session, serviceName, key, error)
    throw error
  }
}
