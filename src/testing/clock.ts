import { DatabaseSync, type SQLOutputValue } from 'node:sqlite'
import { parseDuration, type Duration } from '../options/units.ts'

/**
 * The clock that a test storage compares its deadlines with. It runs by itself, and jumps when
 * `advance` is called.
 */
export interface TestClock {
  /** Returns the clock's time. */
  now(): Date
  /**
   * Moves the clock on: retries fall due, leases end, staged files expire. It wakes no worker: call
   * `drain` or `sweep` afterwards.
   */
  advance(by: Duration): void
}

/**
 * Creates a clock on a SQLite handle, whose date functions it replaces: every deadline is compared
 * by the database. An untouched handle computes the results.
 */
export function createClock(handle: DatabaseSync): TestClock {
  const untouched = new DatabaseSync(':memory:')
  let ahead = 0
  const now = (): Date => new Date(Date.now() + ahead)
  const resolveTime = (time: SQLOutputValue | undefined): SQLOutputValue =>
    time === undefined || time === 'now' ? now().toISOString() : time
  for (const name of ['date', 'time', 'datetime', 'julianday', 'unixepoch', 'strftime']) {
    const first = name === 'strftime' ? 1 : 0
    handle.function(name, { varargs: true }, (...values) => {
      // unixepoch('subsec') has no time value: it means now.
      if (values[first] === 'subsec' || values[first] === 'subsecond')
        values.splice(first, 0, 'now')
      values[first] = resolveTime(values[first])
      const row = untouched
        .prepare(`select ${name}(${values.map(() => '?').join(', ')}) as value`)
        .get(...values)
      return row?.['value'] ?? null
    })
  }
  return {
    now,
    advance(by) {
      ahead += parseDuration(by, 'by')
    },
  }
}
