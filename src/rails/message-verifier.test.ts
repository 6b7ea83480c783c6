import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMessageVerifier } from './message-verifier.ts'

const now = new Date('2024-01-01T00:00:00Z')
const later = new Date('2024-01-01T00:01:00Z')

test('a token is read only with its purpose and its secret', () => {
  const verifier = createMessageVerifier({ secrets: () => ['secret'] })
  const token = verifier.generate({ id: 1 }, { purpose: 'blob_id' })
  assert.deepEqual(verifier.verify(token, { purpose: 'blob_id' }), {
    state: 'valid',
    value: { id: 1 },
    expiresAt: null,
  })
  assert.equal(verifier.verify(token, { purpose: 'other' }), null)
  assert.equal(verifier.verify(`${token}0`, { purpose: 'blob_id' }), null)
  const other = createMessageVerifier({ secrets: () => ['other'] })
  assert.equal(other.verify(token, { purpose: 'blob_id' }), null)
})

test('an expired token says so', () => {
  const verifier = createMessageVerifier({ secrets: () => ['secret'], envelope: 'marshal' })
  const token = verifier.generate('x', { purpose: 'a', expiresAt: later })
  assert.deepEqual(verifier.verify(token, { purpose: 'a', now }), {
    state: 'valid',
    value: 'x',
    expiresAt: later,
  })
  assert.deepEqual(verifier.verify(token, { purpose: 'a', now: later }), {
    state: 'expired',
    value: 'x',
    expiresAt: later,
  })
})

test('secrets can change: the first one signs, and a removed one is not accepted', () => {
  let secrets = ['old']
  const verifier = createMessageVerifier({ secrets: () => secrets })
  const token = verifier.generate('x', { purpose: 'a' })
  secrets = ['new', 'old']
  assert.deepEqual(verifier.verify(token, { purpose: 'a' })?.value, 'x')
  assert.notEqual(verifier.generate('x', { purpose: 'a' }), token)
  secrets = ['new']
  assert.equal(verifier.verify(token, { purpose: 'a' }), null)
})

test('ids above 2^53 are exact', () => {
  const verifier = createMessageVerifier({ secrets: () => ['secret'] })
  const token = verifier.generate(2n ** 60n, { purpose: 'a' })
  assert.equal(String(verifier.verify(token, { purpose: 'a' })?.value), String(2n ** 60n))
})
