import { request } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

const BOUNDARY = 'bench-6f1c'
const tail = `\r\n--${BOUNDARY}--\r\n`
const head = (name: string, filename: string): string =>
  `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"; filename="${filename}"\r\nContent-Type: application/octet-stream\r\n\r\n`

/** A file of a form. */
export interface Part {
  readonly size: number
  bytes(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

/** Sends a form and returns the answer's text. Rejects when it is refused. */
export async function submit(url: string, parts: readonly Part[]): Promise<string> {
  const heads = parts.map(
    (_, index) => `${index === 0 ? '' : '\r\n'}${head('files', `${index}.bin`)}`,
  )
  const length = parts.reduce(
    (sum, { size }, index) => sum + size + Buffer.byteLength(heads[index] ?? ''),
    tail.length,
  )
  const all = async function* (): AsyncGenerator<Uint8Array> {
    for (const [index, part] of parts.entries()) {
      yield Buffer.from(heads[index] ?? '')
      yield* part.bytes()
    }
    yield Buffer.from(tail)
  }
  const sent = request(url, {
    method: 'POST',
    headers: {
      'Content-Type': `multipart/form-data; boundary=${BOUNDARY}`,
      'Content-Length': length,
    },
  })
  const answered = new Promise<string>((resolve, reject) => {
    sent.on('error', reject)
    sent.on('response', (response) => {
      let text = ''
      response.on('error', reject)
      response.setEncoding('utf8').on('data', (piece: string) => (text += piece))
      response.on('end', () => {
        if (response.statusCode === 200) resolve(text)
        else reject(new Error(`${response.statusCode}: ${text}`))
      })
    })
  })
  const [text] = await Promise.all([
    answered,
    pipeline(Readable.from(all(), { objectMode: false }), sent),
  ])
  return text
}
