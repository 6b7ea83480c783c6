import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { readBody } from './read-body.ts'

const toError = (cause: unknown): Error => new Error('the store failed', { cause })

test('a body that breaks off is an error of the service', async () => {
  const broken = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from('hello')
    throw new Error('broken off')
  }
  const body = readBody(Readable.from(broken()), undefined, toError)[Symbol.asyncIterator]()
  assert.equal(String((await body.next()).value), 'hello')
  await assert.rejects(body.next(), /the store failed/)
})

test('an aborted signal ends a body that does not flow, with its reason', async () => {
  const stalled = new Readable({ read() {} })
  stalled.push('hello')
  const controller = new AbortController()
  const body = readBody(stalled, controller.signal, toError)[Symbol.asyncIterator]()
  assert.equal(String((await body.next()).value), 'hello')
  const reason = new Error('the caller gave it up')
  const next = body.next()
  controller.abort(reason)
  await assert.rejects(next, (error: unknown) => error === reason)
  assert.equal(stalled.destroyed, true)
})

test('an aborted signal destroys a body that nobody reads', async () => {
  const controller = new AbortController()
  const unread = new Readable({ read() {} })
  const body = readBody(unread, controller.signal, toError)
  const reason = new Error('the caller gave it up')
  controller.abort(reason)
  assert.equal(unread.destroyed, true)
  await assert.rejects(
    async () => {
      for await (const chunk of body) assert.fail(String(chunk))
    },
    (error: unknown) => error === reason,
  )
})
