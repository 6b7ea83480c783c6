// Carrying files of a megabyte to their service: a drain beside bare uploads of the same bytes, as
// many at once.
import { mkdtemp, rm } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createActiveStorage, hasOneAttached } from '../src/index.ts'
import type { Service } from '../src/adapters.ts'
import { disk } from '../src/services/disk.ts'
import { kinds, closeDatabases } from '../test/support/databases.ts'
import { bytesOf, ratio, report, type Row } from './table.ts'

const MB = 1024 ** 2
const folder = await mkdtemp(join(tmpdir(), 'bench-'))
const near = disk({ root: folder })
const far: Service = {
  ...near,
  async upload(...given) {
    await delay(150)
    await near.upload(...given)
  },
}
const hash = createHash('md5')
for await (const piece of bytesOf(MB)()) hash.update(piece)
const checksum = hash.digest('base64')
const rows: Row[] = []
for (const kind of kinds) {
  const made = await kind.create()
  if (made === null) continue
  const storage = createActiveStorage({
    database: made.database,
    services: { near, far },
    service: 'near',
    models: { User: { near: hasOneAttached(), far: hasOneAttached({ service: 'far' }) } },
    secretKeyBase: 'bench',
    logger: false,
  })
  await storage.migrate()
  let id = 0
  for (const [name, service] of Object.entries({ near, far }))
    for (const concurrency of [1, 4, 16]) {
      const count = name === 'near' ? 64 : 16 * Math.sqrt(concurrency)
      const bare = await seconds(() =>
        pool(count, concurrency, (index) =>
          service.upload(`${kind.name}-${name}-${concurrency}-${index}`, bytesOf(MB)(), {
            byteSize: MB,
            checksum,
          }),
        ),
      )
      const file = () => ({ io: bytesOf(MB)(), filename: 'bench.bin' })
      for (let index = 0; index < count; index += 1)
        await storage.record('User', (id += 1))[name as 'near'].attachLater(file())
      const ours = await seconds(() => storage.drain({ concurrency, throwOnError: true }))
      rows.push({
        database: kind.name,
        service: name === 'near' ? 'disk' : 'disk after 150 ms',
        'at once': concurrency,
        'files/s': Number((count / ours).toFixed(1)),
        'bare ÷ drain': ratio(bare, ours),
      })
    }
  await storage.close()
  await made.close()
}
await closeDatabases()
await rm(folder, { recursive: true, force: true })
report('drain', rows)

async function seconds(run: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await run()
  return (performance.now() - started) / 1000
}

async function pool(
  count: number,
  concurrency: number,
  run: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < count) await run((next += 1))
  }
  await Promise.all(Array.from({ length: concurrency }, lane))
}
