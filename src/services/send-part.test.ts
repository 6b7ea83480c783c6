import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { sendPart } from './send-part.ts'

const data = randomBytes(100_000)
const isTransient = (error: unknown): boolean =>
  error instanceof Error && error.message === 'transient'

test('a part is sent again as a whole, and all its bytes count as progress', async () => {
  let attempts = 0
  let sent = 0
  const progress = {
    sent: (bytes: number) => void (sent += bytes),
    finish: <T>(running: Promise<T>) => running,
  }
  const send = async (body: Readable): Promise<Buffer> => {
    const bytes = await buffer(body)
    attempts += 1
    if (attempts === 1) throw new Error('transient')
    return bytes
  }
  assert.deepEqual(await sendPart(data, { progress, isTransient }, send), data)
  assert.equal(attempts, 2)
  assert.equal(sent, 2 * data.length)
})

test('an error that is not transient, and any error after an abort, is thrown at once', async () => {
  const controller = new AbortController()
  const bodies: Readable[] = []
  const fail = (message: string) => async (body: Readable) => {
    bodies.push(body)
    if (message === 'transient') controller.abort()
    throw new Error(message)
  }
  const { signal } = controller
  await assert.rejects(sendPart(data, { signal, isTransient }, fail('final')), /final/)
  await assert.rejects(sendPart(data, { signal, isTransient }, fail('transient')), /transient/)
  assert.deepEqual(
    bodies.map(({ destroyed }) => destroyed),
    [true, true],
  )
})
