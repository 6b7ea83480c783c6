import assert from 'node:assert/strict'
import { test } from 'node:test'
import { countKeeps, listReplaceable, KEEPS_NOTHING, mergeKeeps, type Keeps } from './keeps.ts'

const attached = [
  { attachmentId: '1', blobId: '10' },
  { attachmentId: '2', blobId: '20' },
  { attachmentId: '3', blobId: '10' },
]

const replaceableIds = (all: typeof attached, keeps: Keeps): string[] =>
  listReplaceable(all, keeps).map(({ attachmentId }) => attachmentId)

test('a submission that keeps nothing may replace all attachments, in their order', () => {
  assert.deepEqual(replaceableIds(attached, KEEPS_NOTHING), ['1', '2', '3'])
  assert.deepEqual(replaceableIds([], { blobs: ['10'], files: [] }), [])
})

test('every attachment of a blob that is kept stays', () => {
  assert.deepEqual(replaceableIds(attached, { blobs: ['10'], files: [] }), ['2'])
  assert.deepEqual(replaceableIds(attached, { blobs: ['20', '10'], files: [] }), [])
})

test('ids of staged files are not compared with ids of blobs or attachments', () => {
  assert.deepEqual(replaceableIds(attached, { blobs: ['1'], files: ['10', '2'] }), ['1', '2', '3'])
})

test('merged keeps have each id once, those of the first value first', () => {
  assert.deepEqual(
    mergeKeeps({ blobs: ['2', '1'], files: ['a'] }, { blobs: ['1', '3'], files: ['b', 'a'] }),
    { blobs: ['2', '1', '3'], files: ['a', 'b'] },
  )
})

test('merging changes neither value', () => {
  const keeps = Object.freeze({ blobs: Object.freeze(['1']), files: Object.freeze([]) })
  const merged = mergeKeeps(keeps, { blobs: ['2'], files: [] })
  assert.deepEqual(keeps.blobs, ['1'])
  assert.equal(countKeeps(merged), 2)
})

test('keeps are counted over blobs and files', () => {
  assert.equal(countKeeps(KEEPS_NOTHING), 0)
  assert.equal(countKeeps({ blobs: ['1', '2'], files: ['a'] }), 3)
})
