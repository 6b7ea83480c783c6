import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KEEPS_NOTHING } from './keeps.ts'
import { yieldToNewer } from './lane-uploads.ts'

const upload = { replaces: ['1', '2'], keeps: KEEPS_NOTHING }
const submission = { keeps: { blobs: ['10'], files: ['a'] }, fileIds: ['b'] }
const nothing = new Set<string>()

test('an older upload that appends does not change', () => {
  assert.equal(
    yieldToNewer({ ...upload, replaces: null }, submission, {
      attachmentIds: new Set(['1']),
      sharesFile: true,
    }),
    null,
  )
})

test('an older upload does not change if the submission names nothing', () => {
  assert.equal(
    yieldToNewer(
      upload,
      { keeps: KEEPS_NOTHING, fileIds: ['b'] },
      { attachmentIds: nothing, sharesFile: false },
    ),
    null,
  )
})

test('an older upload no longer replaces attachments that the submission names', () => {
  assert.deepEqual(
    yieldToNewer(upload, submission, { attachmentIds: new Set(['1', '3']), sharesFile: false }),
    { replaces: ['2'], keeps: { blobs: [], files: ['a'] } },
  )
})

test('an older upload with a file of the submission keeps all files of the submission', () => {
  assert.deepEqual(yieldToNewer(upload, submission, { attachmentIds: nothing, sharesFile: true }), {
    replaces: ['1', '2'],
    keeps: { blobs: ['10'], files: ['a', 'b'] },
  })
})

test('a second submission of the same files changes nothing', () => {
  const keeps = { blobs: ['10'], files: ['a', 'b'] }
  assert.equal(
    yieldToNewer({ replaces: ['2'], keeps }, submission, {
      attachmentIds: new Set(['1']),
      sharesFile: true,
    }),
    null,
  )
})
