import { createReadStream, createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Session } from '../database/session.ts'
import { ServiceError, type ErrorDetails } from '../errors/errors.ts'
import { waitForAbandonedCall } from '../services/run-with-limit.ts'
import {
  expectLateObject,
  renewDuringTransfer,
  renewObjectUntil,
  reserveObject,
} from './object-intents.ts'
import { checkKey } from '../services/object-key.ts'
import type { Service } from '../services/service.ts'
import type { NewBlob } from './blob-rows.ts'
import { createMd5 } from './md5-hash.ts'
import { identifyContentType } from './content-type.ts'
import { normalizeFilename } from './filename.ts'
import { readIncomingFile, type IncomingFile } from './incoming-file.ts'
import { generateKey, prefixKey } from './blob-key.ts'
import { toServiceMetadata } from './safe-content-type.ts'
import { toStorableFilename, toStorableKey } from './storable-text.ts'
import { throwTemporaryFolderError, createTemporaryFolder } from './temporary-folder.ts'

export interface StoreObjectOptions {
  readonly serviceName: string
  readonly service: Service
  readonly keyPrefix: string | undefined
  readonly details: ErrorDetails
  readonly signal?: AbortSignal | undefined
  warn(message: string): void
  /** Throws when the bytes so far are too many. */
  checkSize(size: number): void
  checkType(contentType: string): void
}

/** Bytes that tell a content type. */
const TYPE_HEAD_BYTES = 512 * 1024

/**
 * Stores an object for a blob whose row comes next: through a temporary file, because a service wants size and MD5 first.
 * Its intent is committed before the first byte leaves; whoever inserts the blob removes it.
 */
export async function storeObject(
  session: Session,
  file: IncomingFile,
  options: StoreObjectOptions,
): Promise<NewBlob> {
  const filename = normalizeFilename(file.filename)
  const { service, serviceName, signal } = options
  const details = { ...options.details, filename }
  const folder = await createTemporaryFolder().catch(throwTemporaryFolderError(filename, details))
  try {
    const path = join(folder.path, 'bytes')
    const hash = createMd5()
    let byteSize = 0
    const head: Uint8Array[] = []
    const measured = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of readIncomingFile(file, details, signal)) {
        // A copy: whoever yields it may fill it again.
        if (byteSize < TYPE_HEAD_BYTES) head.push(Buffer.from(chunk))
        byteSize += chunk.length
        options.checkSize(byteSize)
        hash.update(chunk)
        yield chunk
      }
    }
    await pipeline(measured(), createWriteStream(path)).catch(
      throwTemporaryFolderError(filename, details),
    )
    const contentType = await identifyContentType(Buffer.concat(head), filename, file.declaredType)
    options.checkType(contentType)
    const checksum = hash.digest()
    const key = await toStorableKey(session, prefixKey(options.keyPrefix, generateKey()))
    // Before its intent: what no service takes could never be cleaned up either.
    checkKey(key)
    if (!(await reserveObject(session, serviceName, key)))
      throw new ServiceError(`The key ${key} is taken. Try again.`, { details })
    const lost = (): ServiceError =>
      new ServiceError(
        `The transfer of ${filename} took so long that its clean-up began. Send it again.`,
        { details },
      )
    const bytes = renewDuringTransfer(session, key, createReadStream(path), lost)
    try {
      await service.upload(key, bytes, {
        byteSize,
        checksum,
        ...toServiceMetadata(contentType, filename),
        ...(signal === undefined ? {} : { signal }),
      })
    } catch (error) {
      await expectLateObject(session, serviceName, key).catch(() => undefined)
      renewObjectUntil(session, key, waitForAbandonedCall(error))
      throw error
    }
    return {
      key,
      filename: await toStorableFilename(session, filename, options.warn),
      contentType,
      serviceName,
      byteSize,
      checksum,
    }
  } finally {
    await folder.remove()
  }
}
