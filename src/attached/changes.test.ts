import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InvalidInputError } from '../errors/errors.ts'
import { readChanges } from './changes.ts'

const read = (input: unknown, kind: 'one' | 'many' = 'many') => readChanges(input, kind, {})

test('readChanges takes a file, a list, or an object of changes', () => {
  const none = { deletedIds: [], cleanBefore: false }
  assert.deepEqual(read('a'), { files: ['a'], ...none })
  assert.deepEqual(read(['a', null]), { files: ['a', null], ...none })
  assert.deepEqual(read({ io: 'a', filename: 'b' }).files, [{ io: 'a', filename: 'b' }])
  assert.deepEqual(read({ files: 'a', deletedIds: [1n, '02', ''], cleanBefore: 'on' }), {
    files: ['a'],
    deletedIds: ['1', '2'],
    cleanBefore: true,
  })
  assert.deepEqual(read({ files: { 0: 'a', 1: 'b' } }).files, ['a', 'b'])
})

test('readChanges reads the names of a form, where ids may be one text', () => {
  const { deletedIds, cleanBefore } = read({ deleted_ids: '3,4', clean_before: ['0', '1'] })
  assert.deepEqual(deletedIds, ['3', '4'])
  assert.equal(cleanBefore, true)
})

test('readChanges ignores deletedIds and cleanBefore of a has-one', () => {
  assert.deepEqual(read({ files: 'a', deletedIds: [1], cleanBefore: true }, 'one'), {
    files: ['a'],
    deletedIds: [],
    cleanBefore: false,
  })
})

test('readChanges refuses unknown keys, invalid ids, and paths in form parameters', () => {
  for (const input of [
    { files: 'a', delete: [1] },
    { deletedIds: ['1 '] },
    { deletedIds: [2n ** 63n] },
    { cleanBefore: 'perhaps' },
    { files: { 0: { path: '/etc/passwd' } } },
    { files: [{ filepath: '/etc/passwd' }], deleted_ids: '' },
  ])
    assert.throws(() => read(input), InvalidInputError)
})
