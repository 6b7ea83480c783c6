import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { createStopwatch } from './stopwatch.ts'

/** A clock that `advance` moves together with the timers. */
function mockTime(t: TestContext) {
  let time = 0
  t.mock.timers.enable({ apis: ['setTimeout'] })
  return {
    now: () => time,
    advance(milliseconds: number): void {
      time += milliseconds
      t.mock.timers.tick(milliseconds)
    },
  }
}

test('a stopwatch counts only the time in which it runs', (t) => {
  const { now, advance } = mockTime(t)
  const onLimit = t.mock.fn()
  const clock = createStopwatch(100, onLimit, now)
  advance(1_000)
  clock.start()
  advance(60)
  clock.pause()
  advance(1_000)
  clock.start()
  advance(39)
  assert.equal(onLimit.mock.callCount(), 0)
  advance(1)
  assert.equal(onLimit.mock.callCount(), 1)
  clock.start()
  advance(1_000)
  assert.equal(onLimit.mock.callCount(), 1)
})

test('a renewed stopwatch counts from 0, up to the usual limit or to another', (t) => {
  const { now, advance } = mockTime(t)
  const onLimit = t.mock.fn()
  const clock = createStopwatch(100, onLimit, now)
  clock.start()
  advance(90)
  clock.renew()
  advance(90)
  clock.renew(500)
  advance(499)
  assert.equal(onLimit.mock.callCount(), 0)
  advance(1)
  assert.equal(onLimit.mock.callCount(), 1)
})

test('a stopped stopwatch does not start again', (t) => {
  const { now, advance } = mockTime(t)
  const onLimit = t.mock.fn()
  const clock = createStopwatch(100, onLimit, now)
  clock.start()
  clock.stop()
  clock.start()
  advance(1_000)
  assert.equal(onLimit.mock.callCount(), 0)
})
