// A worker in a separate process that dies, as by kill -9, at the point its arguments name.
import { createActiveStorage, hasOneAttached } from '../../src/index.ts'
import type { Service } from '../../src/adapters.ts'
import { postgres } from '../../src/database/postgres.ts'
import { sqlite } from '../../src/database/sqlite.ts'
import { disk } from '../../src/services/disk.ts'
import { killAt, killPoints } from '../../src/testing/index.ts'

const [url = '', root = '', point = ''] = process.argv.slice(2)
const files = disk({ root })
const service: Service = {
  ...files,
  upload(key, body, options) {
    const dying = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of body) {
        yield chunk
        if (point === 'in the middle of an upload') process.kill(process.pid, 'SIGKILL')
      }
    }
    return files.upload(key, dying(), options)
  },
}
const storage = createActiveStorage({
  database: (url.startsWith('postgres') ? postgres(url) : sqlite(url)) as never,
  services: { test: service },
  secretKeyBase: 'a secret of the tests',
  // The attachment has a hook, as in the app: a file without a hook in the worker counts as done.
  models: { User: { photo: hasOneAttached({ afterUpload: () => undefined }) } },
})
const known = killPoints.find((each) => each === point)
if (known !== undefined) killAt(known)
if (point === 'staging' || point === 'staged')
  await storage
    .record('User', 1)
    .photo.attachLater({ io: Buffer.alloc(2 * 1024 * 1024, 'y'), filename: 'b.txt' })
if (point === 'deleting' || point === 'deleted') await storage.record('User', 1).photo.purge()
await storage.drain()
