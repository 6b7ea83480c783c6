// Plain TCP clients: like browsers and proxies, they send everything, whatever the server says.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** Returns all bytes that a server sent. */
export interface Heard {
  readonly text: string
  /** 'ECONNRESET', 'EPIPE'; null: it ended as it should. */
  readonly error: string | null
}

export interface TcpClient {
  readonly socket: Socket
  /** Writes as fast as it is taken. Resolves also when the connection breaks off. */
  send(...pieces: readonly (string | Uint8Array)[]): Promise<void>
  /** Resolves when the server has ended its side, or the connection broke off. */
  heard(): Promise<Heard>
}

export function tcpClient(port: number): TcpClient {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  let error: string | null = null
  const broken = new Promise<void>((resolve) => {
    socket.on('error', ({ code = 'an error' }: NodeJS.ErrnoException) => {
      error = code
      resolve()
    })
    socket.on('close', () => resolve())
  })
  return {
    socket,
    async send(...pieces) {
      for (const piece of pieces)
        if (!socket.destroyed && !socket.write(piece))
          await Promise.race([once(socket, 'drain'), broken])
    },
    async heard() {
      let text = ''
      socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      await Promise.race([once(socket, 'end').catch(() => undefined), broken])
      return { text, error }
    },
  }
}

/** The statuses in what was heard, but those that only say: go on. */
export const statusesIn = ({ text }: Heard): string[] =>
  [...text.matchAll(/HTTP\/1\.1 ([2-5]\d\d)/g)].map(([, status = '']) => status)

export const headOf = (line: string, headers: Readonly<Record<string, string | number>>): string =>
  `${line} HTTP/1.1\r\nHost: app.test\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`

export const FORM = 'multipart/form-data; boundary=b'
/** The beginning of a form whose one file goes on. */
export const fileIn = (field: string): string =>
  `--b\r\nContent-Disposition: form-data; name="${field}"; filename="large.txt"\r\nContent-Type: text/plain\r\n\r\n`
