import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { IncomingMessage } from 'node:http'

/** Milliseconds. */
const LINGER_MS = 2000
const RESPONSE_FINISHED = 'http.server.response.finish'

/**
 * Closes the connection after the answer to a request that was not read to its end. First our side alone, so that the client
 * sees that no more comes; what it still sends is thrown away for two seconds. Closing at once would answer those bytes with
 * a reset, which takes the answer away from a client that has not read it yet. Whoever answers needs to know nothing of it.
 */
export function closeAfterResponse(request: IncomingMessage): void {
  const { socket } = request
  // All that is left has arrived: nothing can be reset.
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
    if ((message as { readonly request?: unknown }).request === request) close()
  }
  // Where the connection is kept, Node tells when the answer is out; where it is not, it calls this.
  subscribe(RESPONSE_FINISHED, onFinish)
  socket.destroySoon = close
  socket.once('close', () => {
    clearTimeout(timer)
    unsubscribe(RESPONSE_FINISHED, onFinish)
  })
}
