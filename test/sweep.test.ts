import assert from 'node:assert/strict'
import { after } from 'node:test'
import { createActiveStorage, hasOneAttached } from '../src/index.ts'
import { atEach, closeServers, databases, type App } from './support/races.ts'
import { toLogger } from './support/logger.ts'
import { runTwice } from './support/run-twice.ts'
import { retries, text } from './support/storage.ts'

after(closeServers)

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

/** Two that failed for good: of user 1 eight days ago, of user 2 a moment ago. */
async function twoFailures(app: App): Promise<void> {
  for (const id of [1, 2]) {
    app.service.failures = 3
    await app.storage.record('User', id).photo.attachLater(text('x'))
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      await app.makeDue()
      await app.storage.drain()
    }
  }
  await app.query(`update {uploads} set run_at = run_at - ${8 * DAY} where uploadable_id = 1`)
}
const failures = async (app: App): Promise<string[]> =>
  (await app.query('select uploadable_id from {uploads} order by id')).map((row) =>
    String(row['uploadable_id']),
  )
const chunks = async (app: App): Promise<number> =>
  (await app.query('select position from {chunks}')).length

atEach(databases, 'failed uploads keep their bytes for ever', async (app) => {
  await twoFailures(app)
  await app.query(`update {uploads} set run_at = run_at - ${3650 * DAY}`)
  await app.storage.sweep()
  assert.deepEqual([await failures(app), await chunks(app)], [['1', '2'], 2])
})

atEach(
  databases,
  'failed uploads that are kept for a time are deleted after it with their bytes',
  async (app) => {
    await twoFailures(app)
    const keeping = createActiveStorage({
      database: app.another().database,
      services: { test: app.service },
      models: { User: { photo: hasOneAttached() } },
      secretKeyBase: 's',
      retries,
      failed: { keepFor: '7d' },
      logger: false,
    })
    await keeping.sweep()
    assert.deepEqual([await failures(app), await chunks(app)], [['2'], 1])
    await app.query(`update {uploads} set run_at = run_at - ${8 * DAY}`)
    await keeping.sweep()
    assert.deepEqual([await failures(app), await chunks(app)], [[], 0])
  },
)

atEach(
  databases,
  'the deletion of a failed upload is logged once when its transaction runs twice',
  async (app) => {
    await twoFailures(app)
    const warnings: string[] = []
    const isDeletion = (statements: readonly string[]): boolean =>
      statements.some((sql) => /^delete from .*uploads/.test(sql))
    const keeping = createActiveStorage({
      database: runTwice(app.another().database, isDeletion),
      services: { test: app.service },
      models: { User: { photo: hasOneAttached() } },
      secretKeyBase: 's',
      failed: { keepFor: '7d' },
      logger: toLogger({ warn: (message) => void warnings.push(message) }),
    })
    await keeping.sweep()
    assert.deepEqual(await failures(app), ['2'])
    assert.deepEqual(warnings, [
      'A failed upload was deleted with its bytes, because failed.keepFor is over.',
    ])
  },
)

atEach(
  databases,
  'the row of a dead worker is deleted a day after its last heartbeat',
  async (app) => {
    for (const hours of [1, 23, 25])
      await app.query(
        `insert into {workers} (id, started_at, seen_at, knows) values ('${hours} hours', 1, ${Date.now() - hours * 60 * MINUTE}, '[]')`,
      )
    await app.storage.sweep()
    const left = (await app.query('select id from {workers}'))
      .map((row) => String(row['id']))
      .toSorted()
    assert.deepEqual(left, ['1 hours', '23 hours'])
  },
)
