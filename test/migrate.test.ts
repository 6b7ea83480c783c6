import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { hasOneAttached } from '../src/index.ts'
import { kinds, stopEmbedded } from './support/databases.ts'
import { storageOn, switchable, text } from './support/storage.ts'

after(() => stopEmbedded())
const models = { User: { photo: hasOneAttached() } }

for (const kind of kinds)
  describe(kind.name, () => {
    test('many pods migrate at once, and again', async (t) => {
      const made = await kind.create()
      if (made === null) return t.skip(`${kind.name}: ${kind.why ?? ''}`)
      const service = switchable()
      const pods = Array.from({ length: 6 }, () => storageOn(made.another(), models, service))
      t.after(async () => {
        for (const pod of pods) await pod.close()
        await made.close()
      })
      await Promise.all(pods.map((pod) => pod.migrate()))
      await pods[0]!.migrate()
      await pods[0]!.record('User', 1).photo.attachLater(text('x'))
      await pods[1]!.drain()
      assert.equal((await pods[2]!.record('User', 1).photo.attachment())?.filename, 'x.txt')
    })

    test("the gem's table is adopted, and its rows are carried to their end", async (t) => {
      const made = await kind.create()
      if (made === null) return t.skip(`${kind.name}: ${kind.why ?? ''}`)
      const storage = storageOn(made.database, models, switchable())
      t.after(async () => {
        await storage.close()
        await made.close()
      })
      await made.database.open()
      const id = { SQLite: 'integer primary key autoincrement', PostgreSQL: 'bigserial primary key', MariaDB: 'bigint primary key auto_increment' }[kind.name]
      const time = kind.name === 'PostgreSQL' ? 'timestamp(6)' : 'datetime(6)'
      const run = (sql: string) => made.database.executor.run(sql, [])
      await run(`create table activestorage_delayed_uploads (id ${id}, uploadable_type varchar(255), uploadable_id bigint, attr_name varchar(255), deleted_ids varchar(255) default '', clean_before boolean default false, files text, created_at ${time} not null, updated_at ${time} not null)`)
      await run(`insert into activestorage_delayed_uploads (uploadable_type, uploadable_id, attr_name, files, created_at, updated_at) values ('User', 1, 'photo', '[{"io":"eA==","filename":"x.txt","content_type":"text/plain"}]', '2026-01-01 00:00:00', '2026-01-01 00:00:00')`)
      await storage.migrate()
      await storage.drain()
      assert.equal((await (await storage.record('User', 1).photo.attachment())?.download())?.toString(), 'x')
      assert.deepEqual((await run('select id from activestorage_delayed_uploads')).rows, [])
    })
  })
