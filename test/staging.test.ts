// Staging takes turns between files, and writes small files only when whole.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import { kinds, closeDatabases } from './support/databases.ts'
import { onEachStatement } from './support/statements.ts'
import { fresh } from './support/storage.ts'
import { moveBothClocks } from './support/time.ts'
import { testStorage } from '../src/testing/index.ts'
import { text } from './support/storage.ts'

after(() => closeDatabases())

const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }
const KB = 1024

async function* pieces(
  count: number,
  size: number,
  at?: (index: number) => void,
): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < count; index += 1) {
    at?.(index)
    yield Buffer.alloc(size, `${index}`)
  }
}

for (const kind of kinds) {
  test(`${kind.name}: any number of files is staged, because their bytes take turns`, async (t) => {
    const app = await fresh(t, kind, models)
    if (app === null) return
    const { storage, made } = app
    let running = 0
    let most = 0
    onEachStatement(made.database, async (sql, run) => {
      const isBytes = /insert into \S*chunks/.test(sql)
      running += isBytes ? 1 : 0
      most = Math.max(most, running)
      try {
        return await run()
      } finally {
        running -= isBytes ? 1 : 0
      }
    })
    const staged = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        storage.stage({ io: pieces(5, 300 * KB), filename: `${index}.txt` }),
      ),
    )
    assert.ok(
      most >= 1 && most <= made.database.writeConcurrency,
      `${most} inserts of bytes at once`,
    )
    const upload = await storage.record('User', 1).docs.attachLater(staged)
    for (const file of upload?.files ?? []) assert.equal((await file.download()).length, 1500 * KB)
    assert.equal(upload?.files.length, 20)
  })

  test(`${kind.name}: a file of one chunk is written when whole, a longer one as it arrives`, async (t) => {
    const app = await fresh(t, kind, models)
    if (app === null) return
    const { storage, made } = app
    const rows = async () =>
      Number(
        (
          await made.database.executor.run(
            'select count(*) as n from activestorage_delayed_files',
            [],
          )
        ).rows[0]?.['n'],
      )
    for (const count of [0, 1, 2, 3]) {
      const staged = await storage.stage({ io: pieces(count, 256 * KB), filename: 'small.txt' })
      assert.equal(staged.byteSize, count * 256 * KB)
      const upload = await storage.record('User', count + 1).docs.attachLater(staged)
      assert.equal((await upload?.files[0]?.download())?.length, staged.byteSize)
      await upload?.discard()
    }
    const here = await rows()
    const broken = async function* (
      count: number,
      seen: () => Promise<void>,
    ): AsyncGenerator<Uint8Array> {
      yield* pieces(count, 256 * KB)
      await seen()
      throw new Error('the client went away')
    }
    await assert.rejects(
      storage.stage({
        io: broken(2, async () => assert.equal(await rows(), here)),
        filename: 'small.txt',
      }),
      {
        code: 'INVALID_INPUT',
      },
    )
    await assert.rejects(
      storage.stage({
        io: broken(3, async () => assert.equal(await rows(), here + 1)),
        filename: 'large.txt',
      }),
      {
        code: 'INVALID_INPUT',
      },
    )
    await storage.sweep()
    assert.equal((await storage.delayedUploads.stats()).stagedBytes, 0)
  })
}

/** Bytes of a chunk. */
const PIECE = 512 * 1024

test('a slow client is staged while bytes arrive; a client that stopped is dropped', async (t) => {
  const { storage, clock } = await testStorage(models)
  t.after(() => storage.close())
  const pass = moveBothClocks(t, clock)
  const slowly = async function* (...pauses: number[]): AsyncGenerator<Uint8Array> {
    for (const minutes of pauses) {
      yield new Uint8Array(PIECE)
      pass(minutes)
      await storage.sweep()
    }
  }
  const staged = await storage.stage({ io: slowly(10, 10, 10, 10, 10, 10), filename: 'slow.bin' })
  assert.equal(staged.byteSize, 6 * PIECE)
  await storage.record('User', 1).photo.attachLater(staged)
  assert.equal((await storage.drain({ throwOnError: true })).uploaded, 1)
  await assert.rejects(storage.stage({ io: slowly(1, 17), filename: 'stopped.bin' }), {
    code: 'INVALID_INPUT',
    message: /too long/,
  })
  await storage.sweep()
  assert.equal((await storage.delayedUploads.stats()).stagedBytes, 0)
})

test('the row that recognizes a second submission is kept as long again after the attachment', async (t) => {
  const { storage, clock, database } = await testStorage(models, { staging: { expiresIn: '24h' } })
  t.after(() => storage.close())
  const files = (): unknown =>
    database.prepare('select count(*) as n from activestorage_delayed_files').get()?.['n']
  const staged = await storage.stage(text('x'))
  const { photo } = storage.record('User', 1)
  await photo.attachLater(staged)
  clock.advance('23h')
  await storage.drain({ throwOnError: true })
  clock.advance('20h')
  await storage.sweep()
  assert.equal(files(), 1)
  assert.equal(await photo.attachLater(staged), null)
  await assert.rejects(storage.record('User', 2).photo.attachLater(staged), {
    code: 'STAGED_FILE_ALREADY_USED',
  })
  clock.advance('5h')
  await storage.sweep()
  assert.equal(files(), 0)
})
