// What is refused leaves nothing behind, whatever the app does next; and what is refused is told in one way.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import { testStorage } from '../src/testing/index.ts'
import { kinds, stopEmbedded } from './support/databases.ts'
import { atEach, closeServers, databases } from './support/races.ts'
import { fresh, text } from './support/storage.ts'

after(async () => {
  await closeServers()
  await stopEmbedded()
})

const forms = {
  User: {
    docs: hasManyAttached(),
    few: hasManyAttached({ maxFiles: 2 }),
    small: hasManyAttached({ maxSize: '4 B' }),
    photo: hasOneAttached(),
  },
  Strict: {
    docs: hasManyAttached(),
    photo: hasOneAttached({ required: true }),
    small: hasManyAttached({ maxSize: '4 B' }),
  },
}

for (const kind of kinds)
  test(`${kind.name}: a form that is refused at its last attachment changes none of the others, though the app commits all the same`, async (t) => {
    const app = await fresh(t, kind, forms)
    if (app === null) return
    const { storage } = app
    const run = async (sql: string) => (await app.made.database.executor.run(sql, [])).rows
    const user = storage.record('User', 1)
    await user.few.attach([text('1'), text('2')])
    await user.docs.attach(text('kept'))
    await user.photo.attach(text('portrait'))
    await user.photo.attachLater(text('newer portrait'))
    const [kept] = await user.docs.attachments()
    const strict = storage.record('Strict', 1)
    await strict.docs.attach(text('also kept'))
    const [alsoKept] = await strict.docs.attachments()
    const large = await storage.stage(text('larger than it may be'))
    const old = await storage.stage(text('old'))
    const used = await storage.stage(text('used'))
    await storage.record('User', 2).photo.attachLater(used)
    await run(`update activestorage_delayed_files set expires_at = 1 where filename = 'old.txt'`)
    const jobs = 'select name, arguments, state from activestorage_delayed_jobs order by id'
    const rows = async () => ({
      attachments: await run('select * from active_storage_attachments order by id'),
      uploads: await run(
        'select id, token, state, replaces from activestorage_delayed_uploads order by id',
      ),
      files: await run(
        `select id, state, upload_token from activestorage_delayed_files where state <> 'dropped' order by id`,
      ),
      jobs: await run(jobs),
    })
    const before = await rows()
    const first = (id: string | undefined) => ({ files: [text('first')], deletedIds: [id] })
    const refused = {
      TOO_MANY_FILES: (tx: never) =>
        storage.record('User', 1, { transaction: tx }).attachLater({
          docs: first(kept?.id),
          photo: text('x'),
          few: [text('3'), text('4')],
        } as never),
      FILE_TOO_LARGE: (tx: never) =>
        storage
          .record('User', 1, { transaction: tx })
          .attachLater({ docs: first(kept?.id), photo: text('x'), small: large } as never),
      STAGED_FILE_EXPIRED: (tx: never) =>
        storage
          .record('User', 1, { transaction: tx })
          .attachLater({ docs: first(kept?.id), photo: old } as never),
      STAGED_FILE_ALREADY_USED: (tx: never) =>
        storage
          .record('User', 1, { transaction: tx })
          .attachLater({ docs: first(kept?.id), photo: used } as never),
      ATTACHMENT_REQUIRED: (tx: never) =>
        storage
          .record('Strict', 1, { transaction: tx })
          .attachLater({ docs: first(alsoKept?.id) } as never),
    }
    for (const [code, submit] of Object.entries(refused)) {
      await storage.transaction(async (tx) => {
        await assert.rejects(submit(tx), { code })
      })
      assert.deepEqual(await rows(), before, code)
    }
    // Of one attachment, what it would have deleted stays too.
    for (const how of ['attach', 'attachLater'] as const) {
      await storage.transaction(async (tx) => {
        const { few } = storage.record('User', 1, { transaction: tx })
        const [one] = await few.attachments()
        await assert.rejects(
          few[how]({ files: [text('3'), text('4')], deletedIds: [one?.id] } as never),
          { code: 'TOO_MANY_FILES' },
        )
      })
      assert.deepEqual(await rows(), before, how)
    }
    // What the refused ones would have brought is not what they are refused for.
    await storage.transaction(async (tx) => {
      const record = storage.record('Strict', 1, { transaction: tx })
      await record.attachLater({ docs: first(alsoKept?.id), photo: text('portrait') } as never)
    })
    await storage.drain({ throwOnError: true })
    assert.deepEqual(
      (await strict.docs.attachments()).map(({ filename }) => filename),
      ['first.txt'],
    )
  })

test('a web stream that was read before, and whose reader let it go, is refused', async (t) => {
  const { storage } = await testStorage({ User: { photo: hasOneAttached() } })
  t.after(() => storage.close())
  const { photo } = storage.record('User', 1)
  const whole = (): ReadableStream<Uint8Array> =>
    new Response('the whole file').body ?? assert.fail()
  for (const pieces of [1, Infinity]) {
    const stream = whole()
    const reader = stream.getReader()
    for (let read = 0; read < pieces && !(await reader.read()).done; read += 1);
    reader.releaseLock()
    assert.ok(!stream.locked && Readable.isDisturbed(stream as never))
    for (const how of ['attach', 'attachLater'] as const)
      await assert.rejects(photo[how]({ io: stream, filename: 'a.txt' } as never), {
        code: 'INVALID_INPUT',
      })
  }
  const upload = await photo.attachLater({ io: whole(), filename: 'a.txt' } as never)
  assert.equal(upload?.files[0]?.byteSize, 'the whole file'.length)
})

test('objects of a request in the place of ids and of cleanBefore are refused, whatever text they make of themselves', async (t) => {
  const { storage } = await testStorage({ User: { docs: hasManyAttached() } })
  t.after(() => storage.close())
  const { docs } = storage.record('User', 1)
  const [kept] = await docs.attach(text('kept'))
  const throws = (): never => {
    throw new Error('of the object')
  }
  const odd: readonly unknown[] = [
    { toString: throws },
    { toString: 'no function' },
    { toString: () => kept?.id },
    { toString: () => 'true' },
    { toString: () => '' },
    Object.create(null),
    { valueOf: () => 1, toString: () => 1 },
    Symbol('an id'),
    () => kept?.id,
  ]
  for (const each of odd) {
    for (const changes of [
      { deletedIds: each },
      { deletedIds: [each] },
      { deletedIds: [kept?.id, each] },
      { deletedIds: [[each]] },
    ])
      await assert.rejects(docs.attachLater({ files: [], ...changes } as never), {
        code: 'INVALID_INPUT',
      })
    for (const cleanBefore of [each, [each], ['0', each]])
      await assert.rejects(docs.attachLater({ files: [], cleanBefore } as never), {
        code: 'INVALID_INPUT',
      })
  }
  assert.equal((await docs.attachments()).length, 1)
})

atEach(
  databases,
  "whether a staged file has expired is told by the database's clock, not by the app's",
  async (app) => {
    const { storage } = app
    const staged = await storage.stage(text('valid'))
    const old = await storage.stage(text('old'))
    await app.query("update {files} set expires_at = 1 where filename = 'old.txt'")
    const real = Date
    // As if the clock of this process were a day and more ahead, or behind.
    const set = (ahead: number): void => {
      globalThis.Date = class extends real {
        constructor(...given: ConstructorParameters<typeof Date>) {
          super(...((given as unknown[]).length > 0 ? given : ([real.now() + ahead] as never)))
        }
        static override now = (): number => real.now() + ahead
      } as never
    }
    try {
      for (const [index, hours] of [25, 24 * 365, -25].entries()) {
        set(hours * 3_600_000)
        const { photo, cover } = storage.record('User', 10 + index)
        await assert.rejects(photo.attachLater(old), { code: 'STAGED_FILE_EXPIRED' })
        await assert.rejects(photo.attach(old), { code: 'STAGED_FILE_EXPIRED' })
        if (index === 0) assert.ok((await photo.attachLater(staged)) !== null)
        else assert.ok((await cover.attachLater(await storage.stage(text('later')))) !== null)
      }
    } finally {
      globalThis.Date = real
    }
    await app.finishTidy()
    assert.deepEqual(await app.attached(10, 'photo'), ['valid.txt'])
  },
)
