import { createHash } from 'node:crypto'
import type {
  CompletedPart,
  CreateMultipartUploadCommandInput,
  UploadPartCommandInput,
} from '@aws-sdk/client-s3'
import { toSendOptions, type S3Connection } from './s3-bucket.ts'
import { sendPart, type PartOptions } from './send-part.ts'

/** Limit for the removal of parts after a failure. */
const ABORT_TIMEOUT_MS = 30_000

/**
 * Sends an object in parts, each with its MD5, one part ahead of the reader. Removes the parts when
 * anything fails. Throws the error of `parts` or of the SDK.
 */
export async function sendParts(
  connection: S3Connection,
  target: CreateMultipartUploadCommandInput,
  parts: AsyncIterable<Buffer>,
  options: PartOptions,
): Promise<void> {
  const { sdk, client } = connection
  const abort = toSendOptions(options.signal)
  const { UploadId } = await client.send(new sdk.CreateMultipartUploadCommand(target), abort)
  const upload = { Bucket: target.Bucket, Key: target.Key, UploadId }
  const sent: CompletedPart[] = []
  let previous: Promise<void> = Promise.resolve()
  try {
    let number = 0
    for await (const data of parts) {
      await previous
      const part = { ...upload, PartNumber: (number += 1) }
      previous = sendS3Part(connection, part, data, options).then((done) => void sent.push(done))
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

/** Sends one part with its MD5. */
function sendS3Part(
  { sdk, client }: S3Connection,
  part: Pick<UploadPartCommandInput, 'Bucket' | 'Key' | 'UploadId' | 'PartNumber'>,
  data: Buffer,
  options: PartOptions,
): Promise<CompletedPart> {
  const ContentMD5 = createHash('md5').update(data).digest('base64')
  const abort = toSendOptions(options.signal)
  return sendPart(data, options, async (Body) => {
    const input = { ...part, Body, ContentLength: data.length, ContentMD5 }
    const { ETag } = await client.send(new sdk.UploadPartCommand(input), abort)
    return { PartNumber: part.PartNumber, ETag }
  })
}
