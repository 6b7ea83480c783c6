import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import pg from 'pg'
import { postgres } from '../src/database/postgres.ts'
import { hasOneAttached } from '../src/index.ts'
import { postgresDatabase, closeDatabases } from './support/databases.ts'
import { storageOn, switchable, text } from './support/storage.ts'

after(() => closeDatabases())

const models = { User: { photo: hasOneAttached() } }

test('PostgreSQL: without notifications none are sent', async (t) => {
  const made = await postgresDatabase()
  if (made === null) return t.skip('no PostgreSQL')
  t.after(() => made.close())
  const send = pg.Client.prototype.query as (this: pg.Client, ...given: unknown[]) => unknown
  let sent = 0
  t.mock.method(pg.Client.prototype, 'query', function (this: pg.Client, ...given: unknown[]) {
    const [statement] = given as [string | { text?: string }]
    if (
      /pg_notify|^\s*notify/i.test(
        typeof statement === 'string' ? statement : (statement.text ?? ''),
      )
    )
      sent += 1
    return send.apply(this, given)
  } as never)
  for (const notify of [false, true]) {
    const storage = storageOn(postgres({ url: made.url, notify }), models, switchable())
    await storage.migrate()
    sent = 0
    const upload = await storage.record('User', 1).photo.attachLater(text('x'))
    await storage.transaction(async (tx) =>
      storage.record('User', 2, { transaction: tx }).photo.attachLater(text('x')),
    )
    await upload?.retry()
    await storage.close()
    assert.equal(sent, notify ? 3 : 0)
  }
})
