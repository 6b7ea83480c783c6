import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSemaphore } from './semaphore.ts'

test('a semaphore has at most as many holders as its limit, first come, first served', async () => {
  const semaphore = createSemaphore(2)
  const events: string[] = []
  const hold = async (name: string): Promise<void> => {
    await semaphore.acquire()
    events.push(name)
  }
  const all = ['a', 'b', 'c', 'd'].map(hold)
  await Promise.all(all.slice(0, 2))
  await new Promise(setImmediate)
  assert.deepEqual(events, ['a', 'b'])
  semaphore.release()
  await all[2]
  assert.deepEqual(events, ['a', 'b', 'c'])
  semaphore.release()
  await all[3]
  assert.deepEqual(events, ['a', 'b', 'c', 'd'])
})

test('permits that were released can be acquired again', async () => {
  const semaphore = createSemaphore(1)
  for (let round = 0; round < 3; round += 1) {
    await semaphore.acquire()
    semaphore.release()
  }
  assert.equal(semaphore.limit, 1)
})
