import assert from 'node:assert/strict'
import { after, test, type TestContext } from 'node:test'
import mariadb from 'mariadb'
import mysql2 from 'mysql2/promise'
import pg from 'pg'
import { mysql, type MysqlConnection, type MysqlPool } from '../src/database/mysql.ts'
import { postgres, type PgClient } from '../src/database/postgres.ts'
import { hasOneAttached } from '../src/index.ts'
import {
  accountOf,
  kinds,
  postgresDatabase,
  closeDatabases,
  type Account,
  type Kind,
} from './support/databases.ts'
import { fresh, storageOn, switchable, text } from './support/storage.ts'

after(() => closeDatabases())

const models = { User: { photo: hasOneAttached() } }
const kindOf = (name: string): Kind => kinds.find((kind) => kind.name === name) ?? assert.fail()

const ended = { code: 'CONFIGURATION', message: /ended before its commit/ }

test('PostgreSQL: a transaction with a caught SQL error does not count as committed', async (t) => {
  const app = await fresh(t, kindOf('PostgreSQL'), models)
  if (app === null) return
  const { storage } = app
  await assert.rejects(
    storage.transaction(async (tx) => {
      await storage.record('User', 1, { transaction: tx }).photo.attachLater(text('x'))
      await (tx as PgClient).query('insert into nowhere values (1)').catch(() => undefined)
    }),
    ended,
  )
  assert.deepEqual(await storage.record('User', 1).photo.delayedUploads(), [])
  // Behind a savepoint it is the app's own matter.
  await storage.transaction(async (tx) => {
    const client = tx as PgClient
    await storage.record('User', 1, { transaction: tx }).photo.attachLater(text('x'))
    await client.query('savepoint before')
    await client.query('insert into nowhere values (1)').catch(() => undefined)
    await client.query('rollback to before')
  })
  assert.equal((await storage.drain({ throwOnError: true })).uploaded, 1)
})

const pools: Readonly<Record<string, (account: Account) => MysqlPool>> = {
  mariadb: (account) =>
    mariadb.createPool({ ...account, connectionLimit: 4 }) as unknown as MysqlPool,
  mysql2: (account) => mysql2.createPool({ ...account, connectionLimit: 4 }),
}

/** A pool of the app's own, on a database of its own. null: there is no server. */
async function mysqlApp(t: TestContext, open: (account: Account) => MysqlPool) {
  const made = await kindOf('MariaDB').create()
  if (made === null) {
    t.skip('no MariaDB answered')
    return null
  }
  await made.database.close()
  const pool = open(accountOf(made.url))
  const storage = storageOn(mysql(pool), models, switchable())
  t.after(async () => {
    await storage.close()
    await pool.end()
    await made.close()
  })
  await storage.migrate()
  return { pool, storage }
}

const gaveUp = 'a transaction that a caught deadlock rolled back does not count as committed'
/** `more`: the app sends another statement on the connection, as if nothing had happened. */
async function deadlocked(
  t: TestContext,
  open: (account: Account) => MysqlPool,
  more: boolean,
): Promise<void> {
  const app = await mysqlApp(t, open)
  if (app === null) return
  const { pool, storage } = app
  const other = await pool.getConnection()
  try {
    await other.query('create table counters (id int primary key, value int not null)')
    await other.query(
      `insert into counters values ${Array.from({ length: 300 }, (_, id) => `(${id}, 0)`).join(', ')}`,
    )
    await other.query('start transaction')
    // The database rolls back the transaction that changed fewer rows.
    await other.query('update counters set value = 1 where id >= 2')
    const caught: unknown[] = []
    await assert.rejects(
      storage.transaction(async (tx) => {
        const mine = tx as MysqlConnection
        await storage.record('User', 1, { transaction: tx }).photo.attachLater(text('x'))
        await mine.query('update counters set value = 2 where id = 1')
        const crossing = other.query('update counters set value = 3 where id = 1')
        await mine
          .query('update counters set value = 2 where id = 5')
          .catch((error: { errno: unknown }) => caught.push(error.errno))
        await crossing
        if (more) await mine.query('select 1')
      }),
      ended,
    )
    assert.deepEqual(caught, [1213])
    await other.query('commit')
  } finally {
    await other.release()
  }
  assert.deepEqual(await storage.record('User', 1).photo.delayedUploads(), [])
  // Its connection is as good as new.
  await storage.transaction(async (tx) =>
    storage.record('User', 1, { transaction: tx }).photo.attachLater(text('y')),
  )
  assert.equal((await storage.drain({ throwOnError: true })).uploaded, 1)
}
for (const [driver, open] of Object.entries(pools))
  for (const more of [false, true])
    test(`${driver}: ${gaveUp}, ${more ? 'with later statements' : 'without later statements'}`, (t) =>
      deadlocked(t, open, more))

test('mariadb: a connection without an open transaction is refused before any write', async (t) => {
  const app = await mysqlApp(t, pools['mariadb'] ?? assert.fail())
  if (app === null) return
  const { pool, storage } = app
  const connection = await pool.getConnection()
  const submit = () =>
    storage.record('User', 1, { transaction: connection as never }).photo.attachLater(text('x'))
  await assert.rejects(submit(), { code: 'CONFIGURATION', message: /START TRANSACTION/ })
  await connection.query('start transaction')
  await submit()
  await connection.query('commit')
  await assert.rejects(submit(), { code: 'CONFIGURATION' })
  await connection.release()
  assert.equal((await storage.delayedUploads.stats()).pending, 1)
})

test('pg: a client without an open transaction is refused before any write', async (t) => {
  const made = await postgresDatabase()
  if (made === null) return t.skip('no PostgreSQL')
  const pool = new pg.Pool({ connectionString: made.url, max: 4 })
  const storage = storageOn(postgres(pool), models, switchable())
  t.after(async () => {
    await storage.close()
    await pool.end()
    await made.close()
  })
  await storage.migrate()
  const client = await pool.connect()
  const submit = () =>
    storage.record('User', 1, { transaction: client as never }).photo.attachLater(text('x'))
  await assert.rejects(submit(), { code: 'CONFIGURATION', message: /send BEGIN/ })
  await client.query('begin')
  await submit()
  await client.query('commit')
  await assert.rejects(submit(), { code: 'CONFIGURATION' })
  client.release()
  assert.equal((await storage.delayedUploads.stats()).pending, 1)
})
