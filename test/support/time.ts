import { syncBuiltinESMExports } from 'node:module'
import type { TestContext } from 'node:test'
import timers from 'node:timers/promises'
import type { TestClock } from '../../src/testing/index.ts'

/**
 * Divides waits of a second and more by five, such as the grace of a stop, until the test ends.
 */
export function shortenTimers(t: TestContext): void {
  replaceTimers(t, (milliseconds) => (milliseconds < 1000 ? milliseconds : milliseconds / 5))
}

/** Resolves after so many waits of at most ten milliseconds, of all code together. */
export function afterShortWaits(t: TestContext, count: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let waits = 0
  replaceTimers(t, (milliseconds) => {
    if (milliseconds <= 10) waits += 1
    if (waits === count) resolve()
    return milliseconds
  })
  return promise
}

/** Changes the time of each wait until the test ends. */
function replaceTimers(t: TestContext, toTime: (milliseconds: number) => number): void {
  const real = timers.setTimeout
  const use = (setTimeout: typeof real): void => {
    timers.setTimeout = setTimeout
    syncBuiltinESMExports()
  }
  use(((milliseconds = 0, ...rest: []) => real(toTime(milliseconds), ...rest)) as typeof real)
  t.after(() => use(real))
}

/**
 * Stops timers of `milliseconds` and more until the test ends: a test that depends on one runs into
 * its own time-out.
 */
export function stopTimers(t: TestContext, milliseconds: number): void {
  const real = globalThis.setTimeout
  t.mock.method(globalThis, 'setTimeout', (run: () => void, wait = 0) =>
    real(run, wait < milliseconds ? wait : 2 ** 31 - 1),
  )
}

/**
 * Returns a function that moves both clocks: the database's, and `performance.now` of this process.
 */
export function moveBothClocks(t: TestContext, clock: TestClock): (minutes: number) => void {
  const real = performance.now.bind(performance)
  let ahead = 0
  t.mock.method(performance, 'now', () => real() + ahead)
  return (minutes) => {
    ahead += minutes * 60_000
    clock.advance(`${minutes}m`)
  }
}
