// A worker in a process of its own that dies, as by kill -9, at the point it is told to.
import { createActiveStorage, hasOneAttached, type Service } from '../../src/index.ts'
import { postgres } from '../../src/database/postgres.ts'
import { sqlite } from '../../src/database/sqlite.ts'
import { disk } from '../../src/services/disk.ts'

const [url = '', root = '', point = ''] = process.argv.slice(2)
const die = (): void => void process.kill(process.pid, 'SIGKILL')
const files = disk({ root })
const service: Service = {
  ...files,
  async upload(key, body, options) {
    const dying = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of body) {
        yield chunk
        if (point === 'in the middle of an upload') die()
      }
    }
    await files.upload(key, dying(), options)
    if (point === 'between upload and attach') die()
  },
}
const storage = createActiveStorage({
  database: (url.startsWith('postgres') ? postgres(url) : sqlite(url)) as never,
  services: { test: service },
  secretKeyBase: 'a secret of the tests',
  models: { User: { photo: hasOneAttached({ afterUpload: () => (point === 'between attach and hook' ? die() : undefined) }) } },
})
await storage.drain()
