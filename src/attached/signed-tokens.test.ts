import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMessageVerifier } from '../rails/message-verifier.ts'
import { readStagedId, readToken, readTokenId, TOKEN_PURPOSE } from './signed-tokens.ts'

const verifier = createMessageVerifier({ secrets: () => ['a secret'] })
const past = new Date(Date.now() - 1000)
const future = new Date(Date.now() + 60_000)
const uuid = '0197a3b4-0000-7000-8000-000000000000'

test('a token is read only for its purpose, and until it expires', () => {
  const token = verifier.generate(7n, { purpose: TOKEN_PURPOSE.blob, expiresAt: future })
  assert.equal(readTokenId({ verifier }, 'blob', token), '7')
  assert.deepEqual(readToken({ verifier }, 'blob', token)?.expiresAt, future)
  assert.equal(readTokenId({ verifier }, 'pending', token), null)
  assert.equal(readTokenId({ verifier }, 'blob', `${token}0`), null)
  const expired = verifier.generate(7n, { purpose: TOKEN_PURPOSE.blob, expiresAt: past })
  assert.equal(readToken({ verifier }, 'blob', expired), null)
})

test('the id of a staged file is read from an expired token, and must be a UUID', () => {
  const sign = (value: string) =>
    verifier.generate(value, { purpose: TOKEN_PURPOSE.staged, expiresAt: past })
  assert.equal(readStagedId({ verifier }, sign(uuid)), uuid)
  assert.equal(readStagedId({ verifier }, sign('7')), null)
})
