import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import { kinds, closeDatabases } from './support/databases.ts'
import { closeServers } from './support/races.ts'
import { fresh, text } from './support/storage.ts'

after(async () => {
  await closeServers()
  await closeDatabases()
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
  test(`${kind.name}: a form refused at its last attachment changes no other, even if the app commits`, async (t) => {
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
    // A refused change of one attachment deletes nothing.
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
    // Other files of a refused form are not the reason of the refusal.
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
