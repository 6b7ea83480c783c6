import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KEEPS_NOTHING } from './keeps.ts'
import { toUploadRow, type SelectedUpload } from './upload-rows.ts'

const row: SelectedUpload = {
  row_id: '12',
  origin_id: null,
  token: 'token',
  type: 'User',
  record: '7',
  name: 'photo',
  state: 'pending',
  clean_before: 0,
  replaces: null,
  keeps: null,
  attempts: 0,
  run_at: '1700000000000',
  lease_token: null,
  last_error: null,
  created_at: '2026-01-02 03:04:05.678901',
}

test('a row becomes an upload of its lane', () => {
  assert.deepEqual(toUploadRow(row), {
    rowId: '12',
    order: 12n,
    token: 'token',
    lane: { type: 'User', id: '7', name: 'photo' },
    state: 'pending',
    cleanBefore: false,
    replaces: null,
    keeps: KEEPS_NOTHING,
    attempts: 0,
    runAt: 1_700_000_000_000,
    leaseToken: null,
    lastError: null,
    createdAt: new Date('2026-01-02T03:04:05.678Z'),
  })
})

test('an upload that was a row of the gem keeps the place of that row', () => {
  const { rowId, order } = toUploadRow({ ...row, origin_id: '9007199254740993' })
  assert.deepEqual([rowId, order], ['12', 9_007_199_254_740_993n])
})

test('lists are JSON, and an empty list is not null: it replaces nothing, but does not append', () => {
  const { replaces, keeps } = toUploadRow({
    ...row,
    replaces: '[]',
    keeps: '{"blobs":["1"],"files":[]}',
  })
  assert.deepEqual([replaces, keeps], [[], { blobs: ['1'], files: [] }])
})
