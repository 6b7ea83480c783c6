import type { AfterRefusalLimits } from '../attached/context.ts'
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { limitsForStatus } from './after-refusal.ts'
import { findUnreadBody, readHeader, type FormRequest } from './request-body.ts'
import { closeAfterResponse } from './close-after-response.ts'

/**
 * Reads the rest of a refused request and throws it away: an answer that comes while a client still sends is lost where the
 * connection closes with bytes unread. Resolves when it may be answered: at the end of the request, at once where the client
 * waits for the answer (`Expect: 100-continue`) or has more to send than the limits allow, or when they are reached. Where
 * something is left then, Node's connection is closed in a way that lets the answer arrive.
 */
export async function discardBody(
  request: FormRequest,
  status: number,
  given: AfterRefusalLimits,
): Promise<void> {
  const limits = limitsForStatus(status, given)
  const isAwaited = /100-continue/i.test(readHeader(request, 'expect'))
  const isTooLong = Number(readHeader(request, 'content-length')) > limits.maxBytes
  const body = isAwaited || isTooLong ? null : findUnreadBody(request)
  if (body !== null) await discardBytes(body, limits)
  if (isFromNode(request)) closeAfterResponse(request)
}

function discardBytes(body: Readable, { maxBytes, timeout }: AfterRefusalLimits): Promise<void> {
  return new Promise((resolve) => {
    let left = maxBytes
    const stop = (): void => {
      clearTimeout(timer)
      body.off('data', count)
      body.pause()
      resolve()
    }
    const count = (chunk: Uint8Array): void => {
      left -= chunk.length
      if (left < 0) stop()
    }
    const timer = setTimeout(stop, timeout)
    for (const event of ['end', 'error', 'close']) body.once(event, stop)
    // Left by an iterator that was given up, it would hold the stream.
    body.removeAllListeners('readable').on('data', count).resume()
  })
}

/** Over HTTP/1: HTTP/2 closes its streams by itself. */
const isFromNode = (request: unknown): request is IncomingMessage => {
  const { socket, complete, httpVersionMajor } = request as Partial<IncomingMessage>
  return socket !== undefined && typeof complete === 'boolean' && httpVersionMajor === 1
}
