import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openOnce } from './open-once.ts'

test('calls share one opening, and the call after a failure opens again', async () => {
  let calls = 0
  const open = openOnce(async () => {
    calls += 1
    if (calls === 1) throw new Error('not yet')
    return calls
  })
  assert.equal(await open.opened(), undefined)
  const [first, second] = await Promise.allSettled([open(), open()])
  assert.deepEqual([first.status, second.status, calls], ['rejected', 'rejected', 1])
  assert.deepEqual(await Promise.all([open(), open(), open.opened()]), [2, 2, 2])
})
