import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ServiceError } from '../errors/errors.ts'
import { ATTACHED, createPendingError, isUndecided, PENDING } from './direct-attach-outcome.ts'

const lane = { type: 'User', id: '7', name: 'photo' }
const error = new ServiceError('It is away.', { details: { filename: 'ada.png' } })

test('a wait goes on while an upload is pending and has not failed', () => {
  assert.equal(isUndecided(PENDING), true)
  assert.equal(isUndecided(ATTACHED), false)
  assert.equal(isUndecided({ state: 'pending', error }), false)
  assert.equal(isUndecided({ state: 'failed', error: null }), false)
})

test('the error of a pending upload says that it goes on', () => {
  const made = createPendingError(lane, undefined, { state: 'pending', error })
  assert.match(
    made.message,
    /^User 7 is saved, but ada\.png is not attached yet: its upload goes on in the background\./,
  )
  assert.equal(made.cause, error)
  assert.deepEqual(made.details, {
    record: { type: 'User', id: '7' },
    attachment: 'photo',
    filename: 'ada.png',
  })
})

test('the error of a failed upload says what to do, also to visitors', () => {
  const made = createPendingError(lane, 'bob.png', { state: 'failed', error: null })
  assert.match(made.message, /bob\.png could not be attached: .* Retry or discard it/)
  assert.match(made.publicMessage, /bob\.png could not be stored\. Open it and choose the file/)
  assert.equal(made.cause, undefined)
})

test('a file without a known name is named by its attachment', () => {
  const made = createPendingError(lane, undefined, PENDING)
  assert.match(made.message, /but its photo is not attached yet/)
  assert.equal('filename' in made.details, false)
})
