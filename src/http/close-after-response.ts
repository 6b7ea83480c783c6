import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { IncomingMessage } from 'node:http'

/**
 * Milliseconds for which bytes of the client are read after our side of the connection has closed.
 */
const LINGER_MS = 2000
const RESPONSE_FINISHED = 'http.server.response.finish'

/**
 * Closes the connection after the response to a request that was not read to its end. Our side
 * closes first, so that the client sees the end of the response; its bytes are thrown away for two
 * more seconds. Closing both sides at once would reset the connection, and the client could lose a
 * response that it has not read yet. Works whatever sends the response.
 */
export function closeAfterResponse(request: IncomingMessage): void {
  const { socket } = request
  // The whole request has arrived, so that the connection cannot be reset.
  if (request.complete || socket.destroyed) return
  let timer: NodeJS.Timeout | undefined
  const close = (): void => {
    if (timer !== undefined) return
    timer = setTimeout(() => socket.destroy(), LINGER_MS)
    socket.end()
    request.once('end', () => socket.destroy())
    request.removeAllListeners('data').resume()
  }
  const onFinish = (message: unknown): void => {
    if (typeof message !== 'object' || message === null || !('request' in message)) return
    if (message.request === request) close()
  }
  // Node publishes the end of a response on a kept connection, and calls `destroySoon` on one that
  // is not kept.
  subscribe(RESPONSE_FINISHED, onFinish)
  socket.destroySoon = close
  socket.once('close', () => {
    clearTimeout(timer)
    unsubscribe(RESPONSE_FINISHED, onFinish)
  })
}
