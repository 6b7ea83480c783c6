import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { CreateMultipartUploadCommandInput, S3Client } from '@aws-sdk/client-s3'
import type { UploadOptions } from './service.ts'

type Sdk = typeof import('@aws-sdk/client-s3')
export interface S3Connection {
  readonly sdk: Sdk
  readonly client: S3Client
}

/** Of the bytes of a part, by which one sees that they move. */
const PART_CHUNK_BYTES = 64 * 1024
/** A streamed part is not sent again by the SDK. */
const PART_ATTEMPTS = 3
/** Milliseconds for the removal of what was sent. */
const ABORT_TIMEOUT_MS = 30_000

interface PartsOptions extends Pick<UploadOptions, 'signal' | 'progress'> {
  /** Whether a part may succeed when it is sent again. */
  isTransient(error: unknown): boolean
}

/** Sends an object in parts, each with its MD5. Whatever goes wrong, the parts that were sent are removed. */
export async function sendParts(
  { sdk, client }: S3Connection,
  target: CreateMultipartUploadCommandInput,
  parts: AsyncIterable<Buffer>,
  { signal, progress, isTransient }: PartsOptions,
): Promise<void> {
  const { Bucket, Key } = target
  const abort = signal === undefined ? {} : { abortSignal: signal }
  const { UploadId } = await client.send(new sdk.CreateMultipartUploadCommand(target), abort)
  const sent: { PartNumber: number; ETag: string | undefined }[] = []
  const send = async (PartNumber: number, data: Buffer): Promise<void> => {
    const ContentMD5 = createHash('md5').update(data).digest('base64')
    for (let attempt = 1; ; attempt += 1) {
      // Streamed, so that one sees the bytes move: a part of many megabytes may take minutes on a slow line.
      const Body = Readable.from(
        readInChunks(data, (bytes) => progress?.sent(bytes)),
        { objectMode: false, highWaterMark: PART_CHUNK_BYTES },
      )
      const command = new sdk.UploadPartCommand({
        Bucket,
        Key,
        UploadId,
        PartNumber,
        Body,
        ContentLength: data.length,
        ContentMD5,
      })
      try {
        const { ETag } = await client.send(command, abort)
        sent.push({ PartNumber, ETag })
        return
      } catch (error) {
        if (attempt === PART_ATTEMPTS || signal?.aborted === true || !isTransient(error))
          throw error
      } finally {
        Body.destroy()
      }
      await delay(100 * 2 ** attempt, undefined, signal === undefined ? {} : { signal })
    }
  }
  let before: Promise<void> = Promise.resolve()
  try {
    let number = 0
    for await (const part of parts) {
      await before
      before = send((number += 1), part)
      // Awaited at the next part; until then a failure must not count as unhandled.
      before.catch(() => undefined)
    }
    await before
    const completed = client.send(
      new sdk.CompleteMultipartUploadCommand({
        Bucket,
        Key,
        UploadId,
        MultipartUpload: { Parts: sent },
      }),
      abort,
    )
    await (progress?.finishing(completed) ?? completed)
  } catch (error) {
    await before.catch(() => undefined)
    const abortSignal = AbortSignal.timeout(ABORT_TIMEOUT_MS)
    await client
      .send(new sdk.AbortMultipartUploadCommand({ Bucket, Key, UploadId }), { abortSignal })
      .catch(() => undefined)
    throw error
  }
}

async function* readInChunks(
  data: Buffer,
  onTaken: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.length; at += PART_CHUNK_BYTES) {
    const piece = data.subarray(at, at + PART_CHUNK_BYTES)
    yield piece
    onTaken(piece.length)
  }
}
