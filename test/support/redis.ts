import { once } from 'node:events'
import { connect } from 'node:net'

/** The Redis that tests use: `TEST_REDIS_URL`, else the machine's own. */
export const REDIS_URL = process.env['TEST_REDIS_URL'] ?? 'redis://127.0.0.1:6379'

/** Returns whether a Redis answers there. */
export async function answersRedis(): Promise<boolean> {
  const { hostname, port } = new URL(REDIS_URL)
  const socket = connect(Number(port || 6379), hostname).setTimeout(2000)
  socket.on('timeout', () => socket.destroy(new Error('It did not answer.')))
  try {
    socket.write('PING\r\n')
    const [answer] = (await once(socket, 'data')) as [Buffer]
    return /^[+-]/.test(answer.toString())
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
