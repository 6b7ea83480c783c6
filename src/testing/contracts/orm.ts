import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { createActiveStorage } from '../../storage/create-active-storage.ts'
import { memory } from '../../services/memory.ts'
import type { ActiveStorage } from '../../storage/active-storage.ts'
import { faulty, type FaultyService } from '../faulty.ts'
import { testConcurrency } from './orm-concurrency.ts'
import { checkEngineStatements } from './engine-statements.ts'
import { ormModels, type OrmApp, type OrmModels } from './orm-app.ts'
import { testDirectAttach, type OpenedOrmApp } from './orm-direct-attach.ts'
import { runWithTimeLimit } from './time-limit.ts'

/** Of `ormContract`. */
export interface OrmContractOptions<Tx> {
  /** `test` of node:test, vitest or Jest. */
  readonly test: (name: string, run: () => Promise<void>) => unknown
  /** An app on an empty database with the tables `users` and `members`. Give its pool one connection once: nothing may wait for a second. */
  open(): Promise<OrmApp<Tx>>
  /** Milliseconds, after which a test fails: statements that wait for each other would wait for ever. Default: 20 000. */
  readonly timeLimit?: number
  /** SQLite has one writer: what many requests do at once is tried, too. Default: false. */
  readonly isSqlite?: boolean
}

/** An ORM may wrap it in an error of its own. */
const hasErrorCode =
  (code: string) =>
  (error: unknown): boolean =>
    [error, (error as Error).cause].some(
      (each) => (each as { code?: unknown } | undefined)?.code === code,
    )

const boom = new Error('the app gave up')
const textFile = (content: string): { io: Buffer; filename: string } => ({
  io: Buffer.from(content),
  filename: `${content}.txt`,
})

/** What every binding to an ORM must do: run it on a binding of your own. */
export function ormContract<Tx>({
  test,
  open,
  isSqlite = false,
  timeLimit = 20_000,
}: OrmContractOptions<Tx>): void {
  interface Opened extends OpenedOrmApp<Tx> {
    /** How many statements of the library's own have run. */
    statements(): number
    /** Nothing is staged, on its way or attached. */
    assertNothing(): Promise<void>
  }
  const on = (name: string, behaves: (opened: Opened) => Promise<void>): unknown =>
    test(name, async () => {
      const app = await open()
      const service = faulty(memory()) as FaultyService & ReturnType<typeof memory>
      let statements = 0
      const counted: (typeof app.database.executor)['run'] = (...given) => (
        (statements += 1),
        app.database.executor.run(...given)
      )
      const storage = createActiveStorage({
        database: { ...app.database, executor: { run: counted } },
        services: { memory: service },
        models: ormModels,
        recordId: app.recordId ?? 'bigint',
        secretKeyBase: 'a secret of the tests',
        retries: { attempts: 1 },
        logger: false,
      }) as unknown as ActiveStorage<OrmModels, Tx>
      app.bind?.(storage)
      async function assertNothing(): Promise<void> {
        await storage.sweep()
        const { pending, running, failed, stagedBytes } = await storage.delayedUploads.stats()
        assert.deepEqual([pending, running, failed, stagedBytes], [0, 0, 0, 0])
      }
      async function ran(): Promise<void> {
        try {
          await storage.migrate()
          await behaves({ app, storage, service, statements: () => statements, assertNothing })
        } finally {
          await storage.close()
          await app.close()
        }
      }
      await runWithTimeLimit(timeLimit, ran())
    })

  on(
    'a record and its files are committed together, and the files are attached later, byte by byte',
    async ({ app, storage, service }) => {
      const bytes = randomBytes(700 * 1024)
      const stream = Readable.from([bytes.subarray(0, 1000), bytes.subarray(1000)])
      const id = await app.create('User', 'Ada', {
        photo: { io: stream, filename: 'ada.bin' },
        certificates: [textFile('one'), textFile('two')],
      })
      assert.deepEqual(await app.names('User'), ['Ada'])
      const user = storage.record('User', id)
      assert.equal((await user.photo.delayedUploads()).length, 1)
      assert.equal((await user.certificates.delayedUploads())[0]?.files.length, 2)
      await storage.drain({ throwOnError: true })
      assert.ok((await (await user.photo.attachment())?.download())?.equals(bytes))
      assert.deepEqual(
        (await user.certificates.attachments()).map(({ filename }) => filename),
        ['one.txt', 'two.txt'],
      )
      assert.equal(service.objects.size, 3)
    },
  )

  on(
    'a transaction of the app that is rolled back takes the files with it; one that is committed brings them',
    async ({ app, storage, assertNothing }) => {
      await assert.rejects(
        app.transaction(async (tx) => {
          await app.create('User', 'Bob', { photo: textFile('b') }, tx)
          throw boom
        }),
        boom,
      )
      assert.deepEqual(await app.names('User'), [])
      await assertNothing()
      const id = await app.transaction((tx) =>
        app.create('User', 'Cleo', { photo: textFile('c') }, tx),
      )
      await storage.drain({ throwOnError: true })
      assert.equal((await storage.record('User', id).photo.attachment())?.filename, 'c.txt')
    },
  )

  on('what the app throws in storage.transaction is what it gets', async ({ storage }) => {
    const given = new Error('the app gave up', {
      cause: Object.assign(new Error('write EPIPE'), { code: 'EPIPE', errno: -32 }),
    })
    await assert.rejects(
      storage.transaction(() => Promise.reject(given)),
      (error) => error === given,
    )
  })

  on(
    'a transaction in a transaction: what is undone there is undone, the rest stays',
    async ({ app, storage }) => {
      const { nested } = app
      if (nested === undefined) return
      const id = await app.transaction(async (tx) => {
        const kept = await app.create('User', 'kept', { photo: textFile('kept') }, tx)
        await assert.rejects(
          nested.call(app, tx, async (inner: Tx) => {
            await app.create('User', 'undone', { photo: textFile('undone') }, inner)
            throw boom
          }),
          boom,
        )
        return kept
      })
      assert.deepEqual(await app.names('User'), ['kept'])
      assert.equal((await storage.delayedUploads.stats()).pending, 1)
      await storage.drain({ throwOnError: true })
      assert.equal((await storage.record('User', id).photo.attachment())?.filename, 'kept.txt')
    },
  )

  on(
    'a save that changes nothing but files works, alone and in a transaction',
    async ({ app, storage }) => {
      const id = await app.create('User', 'Ada', {})
      await app.save('User', id, { photo: textFile('alone') })
      await storage.drain({ throwOnError: true })
      await app.transaction((tx) =>
        app.save('User', id, { certificates: [textFile('within')] }, tx),
      )
      await storage.drain({ throwOnError: true })
      const user = storage.record('User', id)
      assert.equal((await user.photo.attachment())?.filename, 'alone.txt')
      assert.equal((await user.certificates.attachments())[0]?.filename, 'within.txt')
      const [first] = await user.certificates.attachments()
      await app.save('User', id, {
        certificates: { deletedIds: [first?.id ?? '0'], files: [textFile('instead')] },
      })
      await storage.drain({ throwOnError: true })
      assert.deepEqual(
        (await user.certificates.attachments()).map(({ filename }) => filename),
        ['instead.txt'],
      )
    },
  )

  on(
    'what a form keeps by its signed id stays beside the new files, alone and in a transaction',
    async ({ app, storage }) => {
      const id = await app.create('User', 'Ada', {
        certificates: [textFile('contract'), textFile('old')],
      })
      await storage.drain({ throwOnError: true })
      const { certificates } = storage.record('User', id)
      const shown = async (): Promise<string[]> =>
        (await certificates.latest()).map(({ filename }) => filename)
      const [contract] = await certificates.attachments()
      const signedId = contract?.signedId ?? ''
      await app.save('User', id, {
        certificates: { files: [signedId, textFile('new')], cleanBefore: true },
      })
      assert.deepEqual(await shown(), ['contract.txt', 'new.txt'])
      await storage.drain({ throwOnError: true })
      assert.deepEqual(await shown(), ['contract.txt', 'new.txt'])
      await app.transaction((tx) =>
        app.save(
          'User',
          id,
          { certificates: { files: [textFile('newer'), signedId], cleanBefore: true } },
          tx,
        ),
      )
      await storage.drain({ throwOnError: true })
      assert.deepEqual(await shown(), ['contract.txt', 'newer.txt'])
    },
  )

  on(
    'a required file that is not there refuses the record; a blank one is no file',
    async ({ app, storage, assertNothing }) => {
      for (const files of [{}, { badge: null }, { badge: '' }])
        await assert.rejects(
          app.create('Member', 'refused', files),
          hasErrorCode('ATTACHMENT_REQUIRED'),
        )
      assert.deepEqual(await app.names('Member'), [])
      await assertNothing()
      const id = await app.create('Member', 'Ada', { badge: textFile('badge') })
      await storage.drain({ throwOnError: true })
      assert.equal((await storage.record('Member', id).badge.attachment())?.filename, 'badge.txt')
      await app.save('Member', id, {})
    },
  )

  on(
    'what is over its limits refuses the record, and leaves nothing',
    async ({ app, assertNothing }) => {
      await assert.rejects(
        app.create('User', 'big', {
          photo: { io: Buffer.alloc(1024 ** 2 + 1), filename: 'big.bin' },
        }),
        hasErrorCode('FILE_TOO_LARGE'),
      )
      await assert.rejects(
        app.create('User', 'many', {
          certificates: Array.from({ length: 6 }, (_, index) => textFile(`${index}`)),
        }),
        hasErrorCode('TOO_MANY_FILES'),
      )
      await assert.rejects(
        app.create('User', 'wrong', { certificates: { deletedIds: ['1; drop table users'] } }),
        hasErrorCode('INVALID_INPUT'),
      )
      assert.deepEqual(await app.names('User'), [])
      await assertNothing()
    },
  )

  on(
    'a record that is destroyed takes its attachments and what is on its way with it, in its transaction',
    async ({ app, storage, service, assertNothing }) => {
      const id = await app.create('User', 'Ada', { photo: textFile('photo') })
      await storage.drain({ throwOnError: true })
      await app.save('User', id, { certificates: [textFile('on its way')] })
      await assert.rejects(
        app.transaction(async (tx) => {
          await app.destroy('User', id, tx)
          throw boom
        }),
        boom,
      )
      assert.deepEqual(await app.names('User'), ['Ada'])
      assert.equal((await storage.record('User', id).photo.attachment())?.filename, 'photo.txt')
      await app.destroy('User', id)
      assert.deepEqual(await app.names('User'), [])
      assert.equal(await storage.record('User', id).photo.attachment(), null)
      await storage.drain({ throwOnError: true })
      assert.equal(service.objects.size, 0)
      await assertNothing()
    },
  )

  on(
    'a file that was staged before is submitted by its signed id, once',
    async ({ app, storage }) => {
      const staged = await storage.stage(textFile('staged'), { for: 'User.photo' })
      const id = await app.create('User', 'Ada', { photo: staged.signedId })
      await assert.rejects(app.create('User', 'Bob', { photo: staged.signedId }), {
        code: 'STAGED_FILE_ALREADY_USED',
      })
      assert.deepEqual(await app.names('User'), ['Ada'])
      await storage.drain({ throwOnError: true })
      assert.equal((await storage.record('User', id).photo.attachment())?.filename, 'staged.txt')
    },
  )

  on(
    'what is attached and on its way is read with the records, and no statement is left for each',
    async ({ app, storage, statements }) => {
      const { load } = app
      if (load === undefined) return
      for (const name of ['Ada', 'Bob', 'Cleo'])
        await app.create('User', name, { photo: textFile(name) })
      await storage.drain({ throwOnError: true })
      await app.create('User', 'Dan', { certificates: [textFile('later')] })
      const before = statements()
      const users = await load.call(app)
      assert.ok(statements() - before <= 2, 'they are read in two statements')
      const read = statements()
      const all = await Promise.all(
        users.map(async ({ photo, certificates }) => [
          (await photo.attachment())?.filename,
          (await certificates.delayedUploads()).length,
        ]),
      )
      assert.deepEqual(all, [
        ['Ada.txt', 0],
        ['Bob.txt', 0],
        ['Cleo.txt', 0],
        [undefined, 1],
      ])
      assert.equal(statements(), read)
      await users[0]?.photo.attach(textFile('instead'))
      assert.equal((await users[0]?.photo.attachment())?.filename, 'instead.txt')
      await app.transaction(async (tx) => {
        const id = await app.create('User', 'Eve', { photo: textFile('on its way') }, tx)
        assert.equal(
          (await storage.record('User', id, { transaction: tx }).photo.delayedUploads()).length,
          1,
        )
        const loaded = await load.call(app, tx)
        assert.equal((await loaded.at(-1)?.photo.delayedUploads())?.length, 1)
      })
    },
  )

  on("a worker in the process hears of a commit of the app's own", async ({ app, storage }) => {
    const id = await app.create('User', 'Ada', {})
    const worker = storage.work({ concurrency: 1 })
    try {
      await app.transaction((tx) => app.save('User', id, { photo: textFile('heard') }, tx))
      while ((await storage.record('User', id).photo.attachment()) === null)
        await new Promise((resolve) => setTimeout(resolve, 5))
    } finally {
      await worker.stop()
    }
  })
  on(
    'records are written, and read, in transactions while a worker drains beside them',
    async ({ app, storage }) => {
      const worker = storage.work({ concurrency: 2 })
      try {
        const ids: string[] = []
        for (const name of ['a', 'b', 'c']) {
          const id = await app.transaction(async (tx) => {
            const created = await app.create('User', name, { photo: textFile(name) }, tx)
            await app.save(
              'User',
              created,
              { certificates: [textFile(`${name}1`), textFile(`${name}2`)] },
              tx,
            )
            const [within] = await storage.records('User', [created], { transaction: tx })
            assert.equal((await within!.certificates.delayedUploads())[0]?.files.length, 2)
            return created
          })
          ids.push(id)
          await app.save('User', id, { photo: textFile(`${name}3`) })
        }
        const names = async (): Promise<string[]> =>
          (
            await Promise.all(
              (await storage.records('User', ids)).map(
                async ({ photo }) => (await photo.attachment())?.filename ?? '',
              ),
            )
          ).toSorted()
        while ((await names()).join() !== 'a3.txt,b3.txt,c3.txt')
          await new Promise((resolve) => setTimeout(resolve, 5))
      } finally {
        await worker.stop()
      }
    },
  )

  on("a queue engine's statements have $1 placeholders, and its values arrive", async ({ app }) =>
    checkEngineStatements(app.database, (run) =>
      app.transaction((tx) => run(app.database.join(tx))),
    ),
  )

  testDirectAttach(on)
  if (isSqlite) testConcurrency(on)
}
