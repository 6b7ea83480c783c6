// Measures how long a visitor waits: a submission to a slow service, beside an attach.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createActiveStorage, hasManyAttached } from '../src/index.ts'
import type { Service } from '../src/adapters.ts'
import { disk } from '../src/services/disk.ts'
import { kinds, closeDatabases } from '../test/support/databases.ts'
import { bytesOf, median, ratio, report, sizes, type Row } from './table.ts'

const folder = await mkdtemp(join(tmpdir(), 'bench-'))
const near = disk({ root: folder })
const far: Service = {
  ...near,
  async upload(...given) {
    await delay(150)
    await near.upload(...given)
  },
}
const rows: Row[] = []
for (const kind of kinds) {
  const made = await kind.create()
  if (made === null) continue
  const storage = createActiveStorage({
    database: made.database,
    services: { near, far },
    service: 'near',
    models: { User: { near: hasManyAttached(), far: hasManyAttached({ service: 'far' }) } },
    secretKeyBase: 'bench',
    logger: false,
  })
  await storage.migrate()
  let id = 0
  for (const [label, size] of Object.entries(sizes)) {
    const times = size > 10_000_000 ? 3 : 9
    const file = () => ({ io: bytesOf(size)(), filename: 'bench.bin' })
    const next = () => storage.record('User', (id += 1))
    const later = await median(times, () => next().far.attachLater(file()))
    const direct = await median(times, () => next().near.attach(file()))
    const slow = await median(times, () => next().far.attach(file()))
    rows.push({
      database: kind.name,
      size: label,
      'submit ms': Math.round(later),
      'submit ÷ attach to disk': ratio(later, direct),
      'submit ÷ attach at 150 ms': ratio(later, slow),
    })
    for (const upload of await storage.delayedUploads.list({ limit: 1000 })) await upload.discard()
    await storage.sweep()
  }
  await storage.close()
  await made.close()
}
await closeDatabases()
await rm(folder, { recursive: true, force: true })
report('submit', rows)
