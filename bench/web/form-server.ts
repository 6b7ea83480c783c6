// A process that reads forms: with multer to a disk, with busboy to nothing, or with parseForm into
// a database.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import busboy from 'busboy'
import multer from 'multer'
import { serve } from './child.ts'
import { openStorage } from './storage.ts'

const [kind = '', folder = '', url = ''] = process.argv.slice(2)
const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()
process.on('message', () => {
  process.send?.({ p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 })
  delay.reset()
})
if (kind === 'busboy')
  await serve((req, res) => {
    const parser = busboy({ headers: req.headers })
    parser.on('file', (_name, file) => file.resume())
    parser.on('close', () => res.end('kept nothing'))
    req.pipe(parser)
  })
else if (kind === 'multer') {
  const parse = multer({ dest: folder }).array('files')
  await serve((req, res) =>
    parse(req as never, res as never, (error: unknown) =>
      res.writeHead(error === undefined ? 200 : 500).end('kept'),
    ),
  )
} else {
  const storage = openStorage(url, folder)
  await serve(async (req, res) => {
    const form = await storage
      .parseForm(req, { model: 'User', scope: null })
      .catch((error: unknown) => String(error))
    res
      .writeHead(typeof form === 'string' ? 500 : 200)
      .end(typeof form === 'string' ? form : 'kept')
    // What is measured is what a visitor waits for.
    if (typeof form !== 'string') await form.discard()
  })
}
