// Races of staged files: form, sweep, transaction, and pools of one connection.
import assert from 'node:assert/strict'
import { after } from 'node:test'
import { atEach, closeServers, databases, levels, type App } from './support/races.ts'
import { text } from './support/storage.ts'

after(closeServers)

const servers = databases.filter(({ dialect }) => dialect !== 'SQLite')

for (const how of ['commit', 'rollback'] as const)
  atEach(
    levels,
    `a file discarded while it is being linked is deleted exactly if the link fails (${how})`,
    async (app) => {
      const staged = await app.storage.stage(text('x'))
      const user = await app.open()
      await user.record(1).photo.attachLater(staged)
      const discarding = app.begin(() => staged.discard())
      await app.waits(discarding)
      await user[how]()
      await discarding
      await app.finishTidy()
      assert.deepEqual(await app.attached(1, 'photo'), how === 'commit' ? ['x.txt'] : [])
      const left = await app.query("select state from {files} where state = 'staged'")
      assert.deepEqual(left, [])
    },
  )

for (const how of ['commit', 'rollback'] as const)
  atEach(
    levels,
    `a file that expires while linked in an open transaction keeps its bytes on commit (${how})`,
    async (app) => {
      const { signedId } = await app.storage.stage(text('x'))
      await app.query('update {files} set expires_at = 0')
      const user = await app.open()
      // The file is in time for this transaction only; for others it is unlinked and long expired.
      await user.run('update {files} set expires_at = 9999999999999')
      await user.record(1).photo.attachLater(signedId)
      const sweeping = await app.meanwhile(() => app.another().sweep())
      await user[how]()
      await sweeping.done
      await app.finishTidy()
      assert.deepEqual(await app.attached(1, 'photo'), how === 'commit' ? ['x.txt'] : [])
      assert.deepEqual(await app.query("select state from {files} where state = 'staged'"), [])
    },
  )

atEach(servers, 'the sweep skips a file that is being linked', async (app) => {
  const { signedId } = await app.storage.stage(text('x'))
  await app.query('update {files} set expires_at = 0')
  const user = await app.open()
  await user.run('update {files} set expires_at = 9999999999999')
  await user.record(1).photo.attachLater(signedId)
  assert.equal((await app.meanwhile(() => app.another().sweep())).waited, false)
})

atEach(
  levels,
  'a file that the sweep dropped is refused, whatever the transaction saw before',
  async (app) => {
    const { signedId } = await app.storage.stage(text('x'))
    let sweeping: { done: Promise<void> } | undefined
    const linking = app.transaction(async (user) => {
      await user.read()
      sweeping ??= await app.meanwhile(async () => {
        await app
          .another()
          .database.executor.run('update activestorage_delayed_files set expires_at = 0', [])
        await app.another().sweep()
      })
      return user.record(1).photo.attachLater(signedId)
    })
    const refused = await linking.then(
      () => null,
      (error: { code: string }) => error.code,
    )
    await sweeping?.done
    await app.finishTidy()
    // The submission came first if the sweep had to wait, and stands.
    assert.deepEqual(
      [refused, await app.attached(1, 'photo')],
      refused === null ? [null, ['x.txt']] : ['STAGED_FILE_EXPIRED', []],
    )
  },
)

/** Many set it for the whole server: single statements of ours run at it too then. */
const readCommitted = 'set session transaction isolation level read committed'
for (const initSql of ['select 1', readCommitted])
  atEach(
    servers.filter(({ dialect }) => dialect === 'MariaDB' || initSql !== readCommitted),
    `a delayed sweep keeps a file that is linked meanwhile${initSql === readCommitted ? ' (server at read committed)' : ''}`,
    async (app) => {
      await app.storage.record('User', 1).photo.attachLater(text('first'))
      await app.storage.record('User', 2).photo.attachLater(text('orphan'))
      await app.query('delete from {uploads} where uploadable_id = 2')
      const [orphan] = await app.query("select id from {files} where filename = 'orphan.txt'")
      const { signedId } = await app.storage.stage(text('x'))
      const linking = await app.open()
      await linking.record(3).photo.attachLater(signedId)
      const somebody = await app.open()
      await somebody.run(`select id from {files} where id = '${String(orphan?.['id'])}' for update`)
      const sweeping = app.begin(() => app.another({ initSql }).sweep())
      await app.settledOrWaiting(sweeping)
      await linking.commit()
      await somebody.commit()
      await sweeping
      await app.finishTidy()
      assert.deepEqual(
        [await app.attached(1, 'photo'), await app.attached(3, 'photo')],
        [['first.txt'], ['x.txt']],
      )
    },
  )

atEach(
  databases,
  'one connection is enough for a transaction with raw bytes, staged files and blobs',
  async (app) => {
    const storage = app.another({ max: 1 })
    const staged = await storage.stage(text('b'))
    const blob = await storage.blobs.createAndUpload(text('c'))
    await storage.transaction((tx) =>
      storage
        .record('User', 1, { transaction: tx })
        .attachLater({ photo: text('photo'), certificates: [text('a'), staged, blob.signedId] }),
    )
    await storage.drain({ throwOnError: true })
    assert.deepEqual(await app.attached(1, 'photo'), ['photo.txt'])
    assert.deepEqual(await app.attached(1, 'certificates'), ['c.txt', 'a.txt', 'b.txt'])
    await app.finishTidy()
  },
)

atEach(
  servers,
  'the first call of a process, in a transaction on the only connection, does not block',
  async (app) => {
    const storage = app.another({ max: 1 })
    await storage.database.transaction(({ tx }) =>
      storage.record('User', 1, { transaction: tx }).photo.attachLater(text('x')),
    )
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'photo'), ['x.txt'])
  },
)

const states = async (app: App): Promise<string[]> =>
  (await app.query('select state from {files} order by id')).map((row) => String(row['state']))

atEach(
  databases,
  'files that a refused attachLater staged are swept; files staged before stay',
  async (app) => {
    const { few } = app.storage.record('User', 1)
    await few.attach([text('a'), text('b')])
    const before = await app.storage.stage(text('before'))
    await assert.rejects(few.attachLater([before, text('raw')]), { code: 'TOO_MANY_FILES' })
    await app.storage.sweep()
    assert.deepEqual(await states(app), ['staged'])
    // An app that goes on all the same, and commits.
    await app.transaction((user) =>
      assert.rejects(user.record(1).few.attachLater([before.signedId, text('raw')]), {
        code: 'TOO_MANY_FILES',
      }),
    )
    await app.storage.sweep()
    assert.deepEqual(await states(app), ['staged'])
    await app.storage.record('User', 2).few.attachLater(before)
    await app.finishTidy()
    assert.deepEqual(await app.attached(2, 'few'), ['before.txt'])
  },
)

for (const [what, damage] of [
  ['lacks a piece', 'delete from {chunks} where position = 1'],
  [
    'has a piece too many',
    "insert into {chunks} (file_id, position, data) select id, 9, '' from {files}",
  ],
  ['is cut short', "update {chunks} set data = 'x' where position = 2"],
] as const)
  atEach(
    databases,
    `a file that ${what} when its last byte has arrived is not staged`,
    async (app) => {
      const storage = app.another()
      const finishing = storage.holdBefore(/^update files set state/)
      const staging = app.begin(() =>
        storage.stage({ io: Buffer.alloc(1_100_000), filename: 'x.bin' }),
      )
      await finishing.reachedBy(staging)
      await app.query(damage)
      finishing.open()
      await assert.rejects(staging, { code: 'INVALID_INPUT' })
      await app.storage.sweep()
      assert.deepEqual(await states(app), [])
      assert.deepEqual(await app.query('select position from {chunks}'), [])
    },
  )
