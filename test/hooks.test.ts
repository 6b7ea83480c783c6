import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import { testStorage } from '../src/testing/index.ts'
import { closeDatabases } from './support/databases.ts'
import { kinds } from './support/databases.ts'
import { fresh, storageOn, switchable, text } from './support/storage.ts'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Database } from '../src/adapters.ts'

after(() => closeDatabases())
const file = (name: string): File => new File([name], name)

test('hooks run in three rounds at most, and then count as done', async (t) => {
  const rounds: number[] = []
  let finds = 0
  const throwing = hasOneAttached({
    afterUpload(_record, _file, { round }) {
      rounds.push(round)
      throw new Error('of the test')
    },
  })
  const { storage, clock, database } = await testStorage(
    { User: { photo: throwing }, Gone: { photo: throwing } },
    {
      findRecord: {
        Gone(id) {
          finds += 1
          if (finds > 1) throw new Error('the table is gone')
          return { id }
        },
      },
    },
  )
  t.after(() => storage.close())
  for (const name of ['User', 'Gone'] as const) {
    rounds.length = 0
    await storage.record(name, 1).photo.attachLater(file('x'))
    for (let round = 0; round < 8; round += 1) {
      await storage.drain()
      clock.advance('5m')
    }
    assert.deepEqual(rounds, name === 'User' ? [1, 2, 3] : [1])
    assert.equal(
      database.prepare('select count(*) as n from activestorage_delayed_uploads').get()?.['n'],
      0,
    )
  }
  assert.equal(finds, 3)
})

test('hooks of another app that shares the table do not block ours', async (t) => {
  let told = 0
  const photo = hasOneAttached({
    afterUploadAll() {
      told += 1
      if (told === 1) throw new Error('once more')
    },
  })
  const { storage, clock, database } = await testStorage({ User: { photo } })
  t.after(() => storage.close())
  await storage.record('User', 1).photo.attachLater(file('x'))
  await storage.drain()
  const copies = ['uploads', 'files'].map((name) => `activestorage_delayed_${name}`)
  for (let index = 1; index <= 10; index += 1)
    for (const table of copies) {
      database.exec(`create temp table copied as select * from ${table} order by id limit 1`)
      const ids = table.endsWith('files')
        ? `id = '${index}', upload_token = '${index}'`
        : `id = -${index}, token = '${index}', uploadable_type = 'Other'`
      database.exec(
        `update copied set ${ids}; insert into ${table} select * from copied; drop table copied`,
      )
    }
  clock.advance('5m')
  await storage.drain({ concurrency: 2 })
  assert.equal(told, 2)
})

for (const kind of kinds) {
  test(`${kind.name}: an error after the attachment does not fail the upload`, async (t) => {
    const made = await kind.create()
    if (made === null) return t.skip(`${kind.name}: ${kind.why ?? 'not to be had here'}`)
    let broken = 0
    const database: Database<never> = {
      ...made.database,
      executor: {
        run(sql, parameters) {
          if (broken > 0) {
            broken -= 1
            return Promise.reject(new Error('The connection is gone.'))
          }
          return made.database.executor.run(sql, parameters)
        },
      },
    }
    const told: string[] = []
    const photo = hasOneAttached({
      errorUpload: () => void told.push('error'),
      afterUpload: () => void told.push('after'),
    })
    const storage = storageOn(database, { User: { photo } }, switchable())
    const breaks = (): void => void (broken = 1)
    subscribe('tracing:activestorage-delayed:attach:asyncEnd', breaks)
    t.after(async () => {
      unsubscribe('tracing:activestorage-delayed:attach:asyncEnd', breaks)
      await storage.close()
      await made.close()
    })
    await storage.migrate()
    await storage.record('User', 1).photo.attachLater(text('a'))
    const { uploaded, retried, failed } = await storage.drain()
    assert.deepEqual({ uploaded, retried, failed }, { uploaded: 1, retried: 0, failed: 0 })
    assert.deepEqual(told, [])
    await made.database.executor.run(
      'update activestorage_delayed_uploads set run_at = 0, lease_until = 0',
      [],
    )
    await storage.drain()
    assert.deepEqual(told, ['after'])
  })

  test(`${kind.name}: no hook runs without a record, also when no file is left to upload`, async (t) => {
    let isFound = true
    let isDown = true
    const records: unknown[] = []
    const docs = hasManyAttached({
      afterUpload(record: { id: string }) {
        records.push(record)
        if (isDown) throw new Error('the mail server is down')
      },
    })
    const findRecord = { User: (id: string) => (isFound ? { id } : null) }
    const app = await fresh(t, kind, { User: { docs } }, { findRecord })
    if (app === null) return
    const { storage, service, made } = app
    Object.assign(service, { failures: 1, final: true })
    const upload = await storage.record('User', 1).docs.attachLater([text('bad'), text('good')])
    await storage.drain()
    records.length = 0
    const update = (set: string) =>
      made.database.executor.run(`update activestorage_delayed_uploads set ${set}`, [])
    // So the worker leaves it that dies when it has attached the good file.
    await update(
      "state = 'running', attempts = 1, lease_token = 'of a dead worker', lease_until = 0",
    )
    isFound = false
    await storage.drain()
    assert.deepEqual(records, [])
    assert.equal((await storage.delayedUploads.find(upload?.id ?? ''))?.state, 'failed')
    isFound = true
    isDown = false
    await update('run_at = 0, lease_until = 0')
    await storage.drain()
    assert.deepEqual(records, [{ id: '1' }])
  })
}
