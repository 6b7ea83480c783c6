import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import { testStorage } from '../src/testing/index.ts'
import { closeServers } from './support/races.ts'
import { moveBothClocks } from './support/time.ts'

after(closeServers)

const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }
/** Bytes of a chunk. */
const PIECE = 512 * 1024

for (const how of ['attach', 'attachLater'] as const)
  test(`${how}: a transfer that takes hours postpones the clean-up of its object`, async (t) => {
    const { storage, service, clock, database } = await testStorage(models)
    t.after(() => storage.close())
    const pass = moveBothClocks(t, clock)
    const dueCleanUps = (): unknown =>
      database
        .prepare('select count(*) as n from activestorage_delayed_jobs where run_at <= ?')
        .get(clock.now().getTime())?.['n']
    const due: unknown[] = []
    afterEachPiece(service, () => {
      pass(20)
      due.push(dueCleanUps())
    })
    const { photo } = storage.record('User', 1)
    await photo[how]({ io: Buffer.alloc(12 * PIECE), filename: 'large.bin' })
    if (how === 'attachLater') await storage.drain({ throwOnError: true })
    assert.deepEqual(due, Array<number>(12).fill(0))
    assert.equal(await photo.attached(), true)
  })

test('a transfer whose clean-up has begun ends early with an error that says so', async (t) => {
  const { storage, service, clock } = await testStorage(models)
  t.after(() => storage.close())
  const pass = moveBothClocks(t, clock)
  let sent = 0
  afterEachPiece(service, async () => {
    sent += 1
    if (sent !== 2) return
    pass(61)
    await storage.drain()
  })
  const { photo } = storage.record('User', 1)
  await assert.rejects(photo.attach({ io: Buffer.alloc(12 * PIECE), filename: 'large.bin' }), {
    code: 'SERVICE',
    message: /clean-up/,
  })
  assert.equal(sent, 2)
  assert.equal(await photo.attached(), false)
  assert.equal(service.objects.size, 0)
})

/** Calls `then` whenever a service has taken another piece of an upload. */
function afterEachPiece(
  service: Awaited<ReturnType<typeof testStorage>>['service'],
  then: () => void | Promise<void>,
): void {
  const { upload } = service
  service.upload = (key, body, options) => {
    const watched = async function* (): AsyncGenerator<Uint8Array> {
      let size = 0
      for await (const bytes of body) {
        yield bytes
        size += bytes.length
        if (size % PIECE === 0) await then()
      }
    }
    return upload(key, watched(), options)
  }
}
