import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import type { Database } from '../src/adapters.ts'
import { kinds, closeDatabases } from './support/databases.ts'
import { fresh, storageOn } from './support/storage.ts'

after(() => closeDatabases())

const sqliteKind = kinds.find((kind) => kind.name === 'SQLite')!
const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }

test('a row that was inserted but cannot be read is an error with the reason', async (t) => {
  const app = await fresh(t, sqliteKind, models)
  if (app === null) return
  let lagging = /active_storage_blobs/
  /** A proxy that sends reads to a replica. */
  const split = (executor: Database<never>['executor']): Database<never>['executor'] => ({
    run: async (sql, parameters) => {
      const result = await executor.run(sql, parameters)
      return sql.startsWith('select') && lagging.test(sql) ? { ...result, rows: [] } : result
    },
  })
  const inner = app.made.another()
  const database: Database<never> = {
    ...inner,
    returning: false,
    executor: split(inner.executor),
    transaction: (run) =>
      inner.transaction(({ tx, executor }) => run({ tx, executor: split(executor) })),
  }
  const storage = storageOn(database, models, app.service)
  t.after(() => storage.close())
  const { photo } = storage.record('User', 1)
  await assert.rejects(photo.attach(new File(['x'], 'x')), {
    code: 'CONFIGURATION',
    message: /^The blob with key .* connect to the primary/,
  })
  lagging = /from "active_storage_attachments" as "a" inner join/
  await assert.rejects(photo.attach(new File(['x'], 'x')), {
    code: 'CONFIGURATION',
    message: /^The attachment of the blob \d+ /,
  })
  lagging = /activestorage_delayed_files/
  await assert.rejects(storage.stage(new File(['x'], 'x.txt')), {
    code: 'CONFIGURATION',
    message: /^The staged file x\.txt was inserted, but a read does not find it/,
  })
})

test('PostgreSQL: a staged chunk without bytes is an error with the name of its file', async (t) => {
  const app = await fresh(
    t,
    kinds.find((kind) => kind.name === 'PostgreSQL')!,
    models,
  )
  if (app === null) return
  const { photo } = app.storage.record('User', 1)
  const upload = await photo.attachLater(new File(['x'], 'x'))
  await app.storage.transaction((tx) =>
    app.made.execute(tx, "update activestorage_delayed_chunks set data = ''"),
  )
  const [file] = upload!.files
  await assert.rejects(file!.download(), {
    code: 'INTEGRITY',
    message: new RegExp(`staged file ${file!.id} has a chunk without bytes`),
  })
})
