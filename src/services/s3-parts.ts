import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type {
  CompletedPart,
  CreateMultipartUploadCommandInput,
  UploadPartCommandInput,
} from '@aws-sdk/client-s3'
import type { S3Connection } from './s3-bucket.ts'
import type { UploadOptions } from './service.ts'

/** A part is sent in chunks of this size, so that slow progress shows. */
const PART_CHUNK_BYTES = 64 * 1024
/** The SDK does not retry a streamed body, so parts are retried here. */
const PART_ATTEMPTS = 3
/** Limit for the removal of parts after a failure. */
const ABORT_TIMEOUT_MS = 30_000

interface PartsOptions extends Pick<UploadOptions, 'signal' | 'progress'> {
  /** Returns true when the same part may succeed in another attempt. */
  isTransient(error: unknown): boolean
}

/**
 * Sends an object in parts, each with its MD5, one part ahead of the reader. Removes the parts when
 * anything fails. Throws the error of `parts` or of the SDK.
 */
export async function sendParts(
  connection: S3Connection,
  target: CreateMultipartUploadCommandInput,
  parts: AsyncIterable<Buffer>,
  options: PartsOptions,
): Promise<void> {
  const { sdk, client } = connection
  const abort = options.signal === undefined ? {} : { abortSignal: options.signal }
  const { UploadId } = await client.send(new sdk.CreateMultipartUploadCommand(target), abort)
  const upload = { Bucket: target.Bucket, Key: target.Key, UploadId }
  const sent: CompletedPart[] = []
  let previous: Promise<void> = Promise.resolve()
  try {
    let number = 0
    for await (const data of parts) {
      await previous
      const part = { ...upload, PartNumber: (number += 1) }
      previous = sendPart(connection, part, data, options).then((done) => void sent.push(done))
      // It is awaited with the next part. Until then its failure must not count as unhandled.
      previous.catch(() => undefined)
    }
    await previous
    const completed = client.send(
      new sdk.CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: sent } }),
      abort,
    )
    await (options.progress?.finish(completed) ?? completed)
  } catch (error) {
    await previous.catch(() => undefined)
    const abortSignal = AbortSignal.timeout(ABORT_TIMEOUT_MS)
    await client
      .send(new sdk.AbortMultipartUploadCommand(upload), { abortSignal })
      .catch(() => undefined)
    throw error
  }
}

/** Sends one part, with retries. */
async function sendPart(
  { sdk, client }: S3Connection,
  part: Pick<UploadPartCommandInput, 'Bucket' | 'Key' | 'UploadId' | 'PartNumber'>,
  data: Buffer,
  { signal, progress, isTransient }: PartsOptions,
): Promise<CompletedPart> {
  const ContentMD5 = createHash('md5').update(data).digest('base64')
  for (let attempt = 1; ; attempt += 1) {
    // A stream, because it shows the progress of a part that takes minutes on a slow network.
    const Body = Readable.from(
      readInChunks(data, (bytes) => progress?.sent(bytes)),
      { objectMode: false, highWaterMark: PART_CHUNK_BYTES },
    )
    const command = new sdk.UploadPartCommand({
      ...part,
      Body,
      ContentLength: data.length,
      ContentMD5,
    })
    try {
      const { ETag } = await client.send(
        command,
        signal === undefined ? {} : { abortSignal: signal },
      )
      return { PartNumber: part.PartNumber, ETag }
    } catch (error) {
      if (attempt === PART_ATTEMPTS || signal?.aborted === true || !isTransient(error)) throw error
    } finally {
      Body.destroy()
    }
    await delay(100 * 2 ** attempt, undefined, signal === undefined ? {} : { signal })
  }
}

async function* readInChunks(
  data: Buffer,
  onTaken: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.length; at += PART_CHUNK_BYTES) {
    const chunk = data.subarray(at, at + PART_CHUNK_BYTES)
    yield chunk
    onTaken(chunk.length)
  }
}
