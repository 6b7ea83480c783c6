// The one process of an app: it takes forms, tells of uploads, serves files, and works in the
// background.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { nodeHandler } from '../../src/http/adapters/node.ts'
import { serve } from './child.ts'
import { openStorage } from './storage.ts'

const [url = '', folder = ''] = process.argv.slice(2)
const storage = openStorage(url, folder)
const handle = nodeHandler(storage)
const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()
process.on('message', () => {
  const { rss, heapUsed, external } = process.memoryUsage()
  const [p50, p99, max] = [delay.percentile(50), delay.percentile(99), delay.max]
  delay.reset()
  process.send?.({ rss, heapUsed, external, p50, p99, max })
})
storage.work()
await serve((req, res) =>
  handle(req, res, () => {
    const id = (req.url ?? '').slice(1)
    const submit = async (): Promise<string> => {
      const { files } = await storage.parseForm(req, { model: 'User', scope: null })
      const [upload] = await storage.record('User', id).attachLater(files)
      return upload?.path() ?? ''
    }
    submit().then(
      (path) => res.end(path),
      (error: unknown) => res.writeHead(500).end(String(error)),
    )
  }),
)
