import { DatabaseSync } from 'node:sqlite'
import { parseDuration, type Duration } from '../options/units.ts'

/** The time that the storage's deadlines are compared with. It runs on by itself, and jumps where a test says so. */
export interface TestClock {
  now(): Date
  /** Retries fall due, leases end, staged files expire. Wakes nobody: call `drain` or `sweep` after it. */
  advance(by: Duration): void
}

/**
 * Every deadline is compared by the database, so the clock of a test is the database's: SQLite lets its date functions
 * be replaced on a handle, and an untouched handle answers for them.
 */
export function createClock(handle: DatabaseSync): TestClock {
  const untouched = new DatabaseSync(':memory:')
  let ahead = 0
  const now = (): Date => new Date(Date.now() + ahead)
  const given = (time: unknown): unknown =>
    time === undefined || time === 'now' ? now().toISOString() : time
  for (const name of ['date', 'time', 'datetime', 'julianday', 'unixepoch', 'strftime']) {
    const first = name === 'strftime' ? 1 : 0
    handle.function(name, { varargs: true }, (...values) => {
      // unixepoch('subsec') is of now.
      if (values[first] === 'subsec' || values[first] === 'subsecond')
        values.splice(first, 0, 'now')
      values[first] = given(values[first]) as string
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
