import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InvalidInputError } from '../errors/errors.ts'
import { readUploadFilter } from './upload-filter.ts'

test('readUploadFilter fills in the defaults', () => {
  assert.deepEqual(readUploadFilter({}, 'bigint'), {
    model: null,
    attachment: null,
    recordId: null,
    state: null,
    error: null,
    createdFrom: null,
    createdBefore: null,
    order: 'newest',
    limit: 100,
    after: null,
  })
})

test('readUploadFilter converts ids and texts into one form', () => {
  assert.equal(readUploadFilter({ recordId: '007' }, 'bigint').recordId, '7')
  assert.equal(readUploadFilter({ error: 'Access Denied' }, 'bigint').error, 'access denied')
})

test('readUploadFilter refuses values of a wrong type', () => {
  for (const filter of [
    { limit: 0 },
    { limit: '5' },
    { limit: 2 ** 63 },
    { error: 'a\0b' },
    { model: '\0' },
    { createdFrom: new Date(-1e14) },
    { createdBefore: new Date('+010000-01-01T00:00:00Z') },
    { after: 'x' },
    { state: 'attached' },
    { order: 'random' },
    { model: 1 },
    { error: /x/ },
    { recordId: 'x' },
    { createdFrom: new Date('x') },
    { createdBefore: '2026-01-01' },
  ])
    assert.throws(() => readUploadFilter(filter as never, 'bigint'), InvalidInputError)
})
