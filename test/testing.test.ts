// What an app's own tests use.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import { testStorage } from '../src/testing/index.ts'

const models = { User: { photo: hasOneAttached(), docs: hasManyAttached({ service: 'archive' }) } }
const file = (name: string): File => new File([name], name)

test('a storage in one call; failures, corruption, hangs and slowness on demand', async (t) => {
  const { storage, service } = await testStorage(models, { services: ['archive'] })
  t.after(() => storage.close())
  const user = storage.record('User', 1)
  await user.attachLater({ photo: file('photo'), docs: [file('a'), file('b')] })
  await storage.drain({ throwOnError: true })
  assert.equal(service.objects.size, 3)

  service.fail(1)
  await user.docs.attachLater(file('c'))
  await assert.rejects(storage.drain({ throwOnError: true }), /the test asked/)
  for (let round = 0; round < 20 && (await storage.drain()).remaining > 0; round += 1);
  service.corrupt(1)
  await user.docs.attachLater(file('d'))
  await assert.rejects(storage.drain({ throwOnError: true }), { code: 'INTEGRITY' })
  while ((await storage.drain()).remaining > 0);
  assert.equal((await user.docs.attachments()).length, 4)

  const release = service.hang()
  await user.docs.attachLater(file('e'))
  await storage.drain({ timeout: '50ms' })
  assert.equal((await user.docs.attachments()).length, 4)
  release()
  service.slowDown(5)
  const points: string[] = []
  service.at('uploaded', (key) => void points.push(key))
  await storage.drain({ throwOnError: true })
  assert.equal((await user.docs.attachments()).length, 5)
  assert.equal(points.length, 1)
})
