// A process that serves files: what `send`, a bare stream, or the storage's handler makes of a
// path.
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import send from 'send'
import { serve } from './child.ts'
import { nodeHandler } from '../../src/http/adapters/node.ts'
import { openStorage } from './storage.ts'

const [kind = '', folder = '', url = ''] = process.argv.slice(2)
if (kind === 'send')
  await serve((req, res) => void send(req, req.url ?? '', { root: folder }).pipe(res))
else if (kind === 'stream')
  await serve(async (req, res) => {
    const path = join(folder, req.url ?? '')
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(req.headers.range ?? '') ?? []
    const { size } = await stat(path)
    const [start, end] = from === undefined ? [0, size - 1] : [Number(from), Number(to)]
    res.writeHead(from === undefined ? 200 : 206, { 'Content-Length': end - start + 1 })
    await pipeline(createReadStream(path, { start, end }), res).catch(() => res.destroy())
  })
else await serve(nodeHandler(openStorage(url, folder)))
