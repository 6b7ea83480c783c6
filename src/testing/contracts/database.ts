import assert from 'node:assert/strict'
import { createActiveStorage } from '../../storage/create-active-storage.ts'
import { hasManyAttached, hasOneAttached } from '../../attached/definitions.ts'
import type { Database, Dialect } from '../../database/database.ts'
import { PLACEHOLDER_MARK } from '../../database/placeholders.ts'
import { memory } from '../../services/memory.ts'
import { checkEngineStatements } from './engine-statements.ts'
import { hasErrorCode } from './error-codes.ts'

/** Options of `databaseContract`. */
export interface DatabaseContractOptions {
  /** `test` of node:test, vitest or Jest. */
  readonly test: (name: string, run: () => Promise<void>) => unknown
  /** Creates an empty database. */
  create(): Promise<{
    readonly database: Database<never, boolean>
    /** Ends what `create` started. The suite closes `database` before. */
    close(): Promise<void>
  }>
}

const byteTypes = { postgres: 'bytea', mysql: 'longblob', mariadb: 'longblob', sqlite: 'blob' }
const everyByte = Buffer.from(Array.from({ length: 1024 }, (_, index) => index % 256))

interface OpenedDatabase {
  readonly database: Database<never, boolean>
  readonly dialect: Dialect
  /** Writes the database's own placeholders: `?` stands for a parameter in all dialects. */
  say(text: string): string
}
type DatabaseBehaviour = (name: string, run: (opened: OpenedDatabase) => Promise<void>) => unknown

/** Registers the tests that every database must pass. Run it on a binding of your own. */
export function databaseContract({ test, create }: DatabaseContractOptions): void {
  const on: DatabaseBehaviour = (name, run) =>
    test(name, async () => {
      const created = await create()
      const { database } = created
      try {
        const dialect = await database.open()
        await database.executor.run(
          `create table contract (id bigint primary key, words text, data ${byteTypes[dialect]})`,
          [],
        )
        await run({ database, dialect, say: (text) => writePlaceholders(text, database, dialect) })
      } finally {
        await database.close()
        await created.close()
      }
    })
  testStatements(on)
  testTransactions(on)
  testErrors(on)
  testStorage(on)
}

function writePlaceholders(
  text: string,
  { placeholders }: Database<never, boolean>,
  dialect: Dialect,
): string {
  let count = 0
  const style = placeholders ?? (dialect === 'postgres' ? 'numbered' : 'question')
  const placeholder = {
    numbered: () => `$${(count += 1)}`,
    question: () => '?',
    marked: () => PLACEHOLDER_MARK,
  }[style]
  return text.replaceAll('?', placeholder)
}

function testStatements(on: DatabaseBehaviour): void {
  on(
    'statements with RETURNING give the changed rows, if the database says so',
    async ({ database: { executor, returning }, say }) => {
      if (returning !== true) return
      const inserted = await executor.run(
        say('insert into contract values (?, ?, ?) returning id, words'),
        [1, 'a', null],
      )
      assert.deepEqual([inserted.rows.length, inserted.rows[0]?.['words']], [1, 'a'])
      const changed = await executor.run("update contract set words = 'b' returning words", [])
      assert.deepEqual(
        changed.rows.map((row) => row['words']),
        ['b'],
      )
    },
  )

  on('parameters and rows keep their values', async ({ database: { executor }, dialect, say }) => {
    const id = 2n ** 53n + 1n
    const words = "a 'quote', \\ a backslash, ? and $1, 写真 📷"
    const { affected } = await executor.run(say('insert into contract values (?, ?, ?)'), [
      id,
      words,
      everyByte,
    ])
    assert.equal(affected, 1)
    await executor.run(say('insert into contract values (?, ?, ?)'), [2, null, null])
    const cast = dialect === 'mysql' || dialect === 'mariadb' ? 'char' : 'text'
    const { rows } = await executor.run(
      `select cast(id as ${cast}) as id, words, data from contract order by words`,
      [],
    )
    const found = rows.find((row) => row['words'] !== null)
    assert.equal(found?.['id'], String(id))
    assert.equal(found['words'], words)
    assert.ok(
      Buffer.isBuffer(found['data']) && everyByte.equals(found['data']),
      'bytes come back as a Buffer',
    )
    const empty = rows.find((row) => row['words'] === null)
    assert.equal(empty?.['data'], null)
    assert.equal((await executor.run("update contract set words = 'same'", [])).affected, 2)
    assert.equal((await executor.run(say('delete from contract where id = ?'), [7])).affected, 0)
  })

  on(
    "a queue engine's statements have $1 placeholders, and its values arrive",
    async ({ database }) =>
      checkEngineStatements(database, (run) =>
        database.transaction(({ executor }) => run(executor)),
      ),
  )

  on('a connection can be reserved', async ({ database }) => {
    const reserved = await database.reserve?.()
    if (reserved == null) return
    assert.equal((await reserved.executor.run('select 1 as one', [])).rows.length, 1)
    await reserved.release()
    const broken = await database.reserve?.()
    await broken?.destroy()
    assert.equal((await database.executor.run('select 1 as one', [])).rows.length, 1)
  })
}

function testTransactions(on: DatabaseBehaviour): void {
  on(
    'a transaction commits when its function returns, and rolls back when it throws',
    async ({ database, say }) => {
      const inApp = <T>(run: (tx: never) => Promise<T>): Promise<T> =>
        database.appTransaction?.(run) ?? database.transaction(({ tx }) => run(tx))
      await database.transaction(({ executor }) =>
        executor.run(say("insert into contract values (1, 'kept', null)"), []),
      )
      const result = await inApp(async (tx) => {
        await database.join(tx).run(say("insert into contract values (2, 'joined', null)"), [])
        return 'returned'
      })
      assert.equal(result, 'returned')
      await assert.rejects(
        inApp(async (tx) => {
          await database.join(tx).run("insert into contract values (3, 'undone', null)", [])
          throw new Error('of the test')
        }),
        /of the test/,
      )
      await assert.rejects(
        database.transaction(async ({ executor }) => {
          await executor.run("insert into contract values (4, 'undone', null)", [])
          throw new Error('of the test')
        }),
        /of the test/,
      )
      const { rows } = await database.executor.run('select words from contract order by id', [])
      assert.deepEqual(
        rows.map((row) => row['words']),
        ['kept', 'joined'],
      )
    },
  )

  on('join refuses a value that is no transaction', ({ database }) => {
    for (const wrong of [undefined, null, {}, 'tx'])
      assert.throws(
        () => Reflect.apply(database.join, database, [wrong]),
        hasErrorCode('CONFIGURATION'),
      )
    return Promise.resolve()
  })
}

function testErrors(on: DatabaseBehaviour): void {
  on(
    'unique violations and transient errors are recognized, and connections stay usable',
    async ({ database, say }) => {
      const insert = say("insert into contract values (1, 'x', null)")
      await database.executor.run(insert, [])
      const twice = await catchError(database.executor.run(insert, []))
      assert.ok(database.isUniqueViolation(twice))
      assert.ok(!database.isTransient(twice))
      const inside = await catchError(
        database.transaction(({ executor }) => executor.run(insert, [])),
      )
      assert.ok(database.isUniqueViolation(inside))
      const nonsense = await catchError(database.executor.run('select nonsense from contract', []))
      assert.ok(!database.isUniqueViolation(nonsense))
      assert.ok(!database.isTransient(nonsense))
      assert.equal((await database.executor.run('select id from contract', [])).rows.length, 1)
    },
  )

  on('the victim of a deadlock is reported as transient', async ({ database, dialect }) => {
    // SQLite has one writer.
    if (dialect === 'sqlite') return
    await database.executor.run("insert into contract values (1, 'x', null), (2, 'x', null)", [])
    const first = Promise.withResolvers<void>()
    const second = Promise.withResolvers<void>()
    const locking = (
      mine: number,
      theirs: number,
      ready: PromiseWithResolvers<void>,
      other: Promise<void>,
    ): Promise<unknown> =>
      catchError(
        database.transaction(async ({ executor }) => {
          await executor.run(`update contract set words = 'y' where id = ${mine}`, [])
          ready.resolve()
          await other
          await executor.run(`update contract set words = 'y' where id = ${theirs}`, [])
        }),
      )
    const errors = await Promise.all([
      locking(1, 2, first, second.promise),
      locking(2, 1, second, first.promise),
    ])
    const victims = errors.filter((error) => error !== null)
    assert.equal(victims.length, 1)
    assert.ok(database.isTransient(victims[0]))
  })
}

function testStorage(on: DatabaseBehaviour): void {
  on('a storage on the database stages, uploads, attaches and purges', async ({ database }) => {
    const service = memory()
    const models = { User: { photo: hasOneAttached(), documents: hasManyAttached() } }
    const storage = createActiveStorage({
      database,
      services: { memory: service },
      models,
      secretKeyBase: 'a secret of the tests',
      logger: false,
    })
    await storage.migrate()
    await storage.migrate()
    const large = Buffer.alloc(3 * 2 ** 20 + 7, everyByte)
    await assert.rejects(
      storage.transaction(async (tx) => {
        await storage
          .record('User', 1, { transaction: tx })
          .photo.attachLater({ io: large, filename: 'undone.bin' })
        throw new Error('of the test')
      }),
      /of the test/,
    )
    assert.deepEqual(await storage.drain({ throwOnError: true }), {
      uploaded: 0,
      retried: 0,
      failed: 0,
      remaining: 0,
    })
    await storage.transaction((tx) =>
      storage.record('User', 1, { transaction: tx }).attachLater({
        photo: { io: large, filename: '写真.bin' },
        documents: [
          { io: Buffer.from('a'), filename: 'a.txt' },
          { io: Buffer.alloc(0), filename: 'nothing.txt' },
        ],
      }),
    )
    const staged = await storage.record('User', 1).photo.latest()
    assert.equal(staged?.filename, '写真.bin')
    assert.equal((await storage.drain({ throwOnError: true })).uploaded, 2)
    const [user] = await storage.records('User', [1])
    const photo = await user?.photo.attachment()
    assert.ok(photo !== null && photo !== undefined && large.equals(await photo.download()))
    assert.equal((await user?.documents.attachments())?.length, 2)
    await user?.photo.purge()
    await user?.documents.purge()
    await storage.drain({ throwOnError: true })
    assert.equal(service.objects.size, 0)
  })
}

async function catchError(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
    return null
  } catch (error) {
    return error
  }
}
