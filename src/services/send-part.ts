import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { UploadOptions } from './service.ts'

/** A part is sent in chunks of this size, so that slow progress shows. */
const PART_CHUNK_BYTES = 64 * 1024
/** Clients of stores do not retry a streamed body, so parts are retried here. */
const PART_ATTEMPTS = 3

/** Options of `sendPart`. */
export interface PartOptions extends Pick<UploadOptions, 'signal' | 'progress'> {
  /** Returns true when the same part may succeed in another attempt. */
  isTransient(error: unknown): boolean
}

/**
 * Sends one part of an object with `send`, which gets a new body in each of three attempts. Reports
 * the progress of each. Throws the error of the last attempt, or at once one that is not transient.
 */
export async function sendPart<T>(
  data: Buffer,
  { signal, progress, isTransient }: PartOptions,
  send: (body: Readable) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    // A stream, because it shows the progress of a part that takes minutes on a slow network.
    const body = Readable.from(
      readInChunks(data, (bytes) => progress?.sent(bytes)),
      { objectMode: false, highWaterMark: PART_CHUNK_BYTES },
    )
    try {
      return await send(body)
    } catch (error) {
      if (attempt === PART_ATTEMPTS || signal?.aborted === true || !isTransient(error)) throw error
    } finally {
      body.destroy()
    }
    await delay(100 * 2 ** attempt, undefined, signal === undefined ? {} : { signal })
  }
}

async function* readInChunks(
  data: Buffer,
  report: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.length; at += PART_CHUNK_BYTES) {
    const chunk = data.subarray(at, at + PART_CHUNK_BYTES)
    yield chunk
    report(chunk.length)
  }
}
