import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import type { AfterRefusalLimits } from '../attached/context.ts'
import { limitsForStatus } from './after-refusal.ts'
import { closeAfterResponse } from './close-after-response.ts'
import { findUnreadBody, readHeader, type FormRequest } from './request-body.ts'

/**
 * Reads the rest of a refused request and throws it away. Without this, a client that still sends
 * would lose the response: a connection that closes with unread bytes is reset. Resolves when the
 * response may be sent: at the end of the request, at a limit, or when the signal aborts. Resolves
 * at once when the client waits for the response (`Expect: 100-continue`) or has more to send than
 * the limit. Node's connection is then closed in a way that lets the response arrive.
 */
export async function discardBody(
  request: FormRequest,
  status: number,
  afterRefusal: AfterRefusalLimits,
  signal?: AbortSignal,
): Promise<void> {
  const limits = limitsForStatus(status, afterRefusal)
  const isAwaited = /100-continue/i.test(readHeader(request, 'expect'))
  const isTooLong = Number(readHeader(request, 'content-length')) > limits.maxBytes
  const isSkipped = isAwaited || isTooLong || signal?.aborted === true
  const body = isSkipped ? null : findUnreadBody(request)
  if (body !== null) await discardBytes(body, limits, signal)
  if (isFromNode(request)) closeAfterResponse(request)
}

function discardBytes(
  body: Readable,
  { maxBytes, timeout }: AfterRefusalLimits,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve) => {
    let bytesLeft = maxBytes
    const stop = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', stop)
      body.off('data', count)
      body.pause()
      resolve()
    }
    const count = (chunk: Uint8Array): void => {
      bytesLeft -= chunk.length
      if (bytesLeft < 0) stop()
    }
    const timer = setTimeout(stop, timeout)
    signal?.addEventListener('abort', stop, { once: true })
    for (const event of ['end', 'error', 'close']) body.once(event, stop)
    // An abandoned iterator leaves its 'readable' listener, which would stop the flow of data.
    body.removeAllListeners('readable').on('data', count).resume()
  })
}

/** Returns whether it is Node's request over HTTP/1. HTTP/2 closes its streams by itself. */
const isFromNode = (request: FormRequest): request is FormRequest & IncomingMessage =>
  'socket' in request &&
  'complete' in request &&
  typeof request.complete === 'boolean' &&
  'httpVersionMajor' in request &&
  request.httpVersionMajor === 1
