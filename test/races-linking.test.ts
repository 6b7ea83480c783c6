// Races of submissions: two on one lane, one staged file in two forms, the sweep.
import assert from 'node:assert/strict'
import { after } from 'node:test'
import { ActiveStorageError } from '../src/index.ts'
import { atEach, closeServers, levels, type App, type User } from './support/races.ts'
import { text } from './support/storage.ts'

after(closeServers)

const code =
  (...expected: readonly string[]) =>
  (error: unknown) =>
    expected.includes((error as { code?: string }).code ?? '')
/** The code by which the library refuses; errors that ask for another try go on. */
const refusal = (promise: Promise<unknown>): Promise<string | null> =>
  promise.then(
    () => null,
    (error: unknown) => {
      if (error instanceof ActiveStorageError) return error.code
      throw error
    },
  )

atEach(
  levels,
  'of two submissions to a has-one the last commit wins, even if it began first',
  async (app) => {
    const { photo } = app.storage.record('User', 1)
    const before = await photo.attach(text('before'))
    const committed: string[] = []
    let early: { done: Promise<void> } | undefined
    await app.transaction(async (late) => {
      await late.read()
      early ??= await app.meanwhile(() =>
        app
          .transaction((other) => other.record(1).photo.attachLater(text('early')))
          .then(() => void committed.push('early.txt')),
      )
      await late.record(1).photo.attachLater(text('late'))
    })
    committed.push('late.txt')
    await early?.done
    const rows = await app.query('select replaces from {uploads} order by id')
    assert.deepEqual(
      rows.map((row) => JSON.parse(String(row['replaces'])) as unknown),
      [[before?.id], [before?.id]],
    )
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'photo'), [committed.at(-1)])
  },
)

atEach(levels, 'in a lane ids are in the order of commits', async (app) => {
  const first = await app.open()
  await first.record(1).certificates.attachLater(text('a'))
  const second = app.begin(() =>
    app.transaction((user) => user.record(1).certificates.attachLater(text('b'))),
  )
  await app.waits(second)
  await first.commit()
  await second
  const rows = await app.query(
    'select f.filename from {uploads} u join {files} f on f.upload_token = u.token order by u.id',
  )
  assert.deepEqual(
    rows.map((row) => row['filename']),
    ['a.txt', 'b.txt'],
  )
  await app.finishTidy()
  assert.deepEqual(await app.attached(1, 'certificates'), ['a.txt', 'b.txt'])
})

atEach(levels, 'a submission that waited for a rolled-back one stays alone', async (app) => {
  const first = await app.open()
  await first.record(1).photo.attachLater(text('a'))
  const second = app.begin(() =>
    app.transaction((user) => user.record(1).photo.attachLater(text('b'))),
  )
  await app.waits(second)
  await first.rollback()
  await second
  await app.finishTidy()
  assert.deepEqual(await app.attached(1, 'photo'), ['b.txt'])
  assert.equal(app.service.uploads, 1)
})

atEach(levels, 'a double click that waits for the first click is one upload', async (app) => {
  const { signedId } = await app.storage.stage(text('x'))
  const first = await app.open()
  const upload = await first.record(1).photo.attachLater(signedId)
  const second = app.begin(() =>
    app.transaction((user) => user.record(1).photo.attachLater(signedId)),
  )
  await app.waits(second)
  await first.commit()
  assert.equal((await second)?.id, upload?.id)
  await app.finishTidy()
  assert.deepEqual(await app.attached(1, 'photo'), ['x.txt'])
  assert.equal(app.service.uploads, 1)
})

atEach(
  levels,
  'a double click whose second transaction began before the first commit is one upload',
  async (app) => {
    const { signedId } = await app.storage.stage(text('x'))
    let first: { done: Promise<string | undefined> } | undefined
    const again = await app.transaction(async (second): Promise<string | undefined> => {
      await second.read()
      first ??= await app.meanwhile(() =>
        app.transaction(async (user) => (await user.record(1).photo.attachLater(signedId))?.id),
      )
      const upload = await second.record(1).photo.attachLater(signedId)
      return upload?.id
    })
    assert.equal(await first?.done, again)
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'photo'), ['x.txt'])
    assert.equal(app.service.uploads, 1)
  },
)

for (const how of ['commit', 'rollback'] as const)
  atEach(
    levels,
    `of two records that submit one staged file, exactly one gets it (${how})`,
    async (app) => {
      const { signedId } = await app.storage.stage(text('x'))
      const first = await app.open()
      await first.record(1).photo.attachLater(signedId)
      const second = app.begin(() =>
        app.transaction((user) => user.record(2).photo.attachLater(signedId)),
      )
      await app.waits(second)
      await first[how]()
      if (how === 'rollback') await second
      else await assert.rejects(second, code('STAGED_FILE_ALREADY_USED', 'STAGED_FILE_EXPIRED'))
      await app.finishTidy()
      assert.deepEqual(
        [await app.attached(1, 'photo'), await app.attached(2, 'photo')],
        how === 'commit' ? [['x.txt'], []] : [[], ['x.txt']],
      )
    },
  )

atEach(levels, 'a refused file leaves nothing behind, even if the app commits', async (app) => {
  const staged = await app.storage.stage(text('x'))
  let discarding: { done: Promise<void> } | undefined
  const refused = await app.transaction(async (user) => {
    await user.read()
    discarding ??= await app.meanwhile(() => staged.discard())
    return refusal(user.record(1).photo.attachLater(staged))
  })
  await discarding?.done
  // The submission came first if the discard had to wait, and stands.
  await app.finishTidy()
  assert.equal(app.service.uploads, refused === null ? 1 : 0)
  assert.ok(refused === null || refused === 'STAGED_FILE_EXPIRED')
})

atEach(
  levels,
  'appends of open transactions and workers all arrive, in the order of commits',
  async (app) => {
    await app.storage.record('User', 1).certificates.attachLater(text('a'))
    const uploaded = app.hold('uploaded')
    const working = app.begin(() => app.another().drain())
    await uploaded.reachedBy(working)
    const first = await app.open()
    await first.record(1).certificates.attachLater(text('b'))
    const others = ['c', 'd'].map((name) =>
      app.begin(() =>
        app.transaction((user) => user.record(1).certificates.attachLater(text(name))),
      ),
    )
    await app.waits(Promise.all(others))
    uploaded.open()
    await app.waits(working)
    await first.commit()
    await Promise.all([...others, working])
    await app.finishTidy()
    const names = await app.attached(1, 'certificates')
    assert.deepEqual(
      [names.slice(0, 2), names.slice(2).toSorted()],
      [
        ['a.txt', 'b.txt'],
        ['c.txt', 'd.txt'],
      ],
    )
  },
)

atEach(
  levels,
  'maxFiles holds for a submission that waited for the one that reached the limit',
  async (app) => {
    await app.storage.record('User', 1).few.attach(text('a'))
    const first = await app.open()
    await first.record(1).few.attachLater(text('b'))
    const second = app.begin(() =>
      app.transaction((user) => user.record(1).few.attachLater(text('c'))),
    )
    await app.waits(second)
    await first.commit()
    await assert.rejects(second, code('TOO_MANY_FILES'))
    await app.finish()
    assert.deepEqual(await app.attached(1, 'few'), ['a.txt', 'b.txt'])
  },
)

atEach(
  levels,
  'maxFiles holds for a submission that began before the limit was reached',
  async (app) => {
    await app.storage.record('User', 1).few.attach(text('a'))
    const submit = (user: User, name: string) => user.record(1).few.attachLater(text(name))
    let other: { done: Promise<string | null> } | undefined
    const refused = await refusal(
      app.transaction(async (user) => {
        await user.read()
        other ??= await app.meanwhile(() =>
          refusal(app.transaction((meanwhile) => submit(meanwhile, 'b'))),
        )
        await submit(user, 'c')
      }),
    )
    assert.deepEqual([refused, await other?.done].toSorted(), ['TOO_MANY_FILES', null])
    await app.finish()
    assert.equal((await app.attached(1, 'few')).length, 2)
  },
)

atEach(levels, 'maxFiles holds for a direct attach beside a submission that waits', async (app) => {
  const { few } = app.storage.record('User', 1)
  await few.attach(text('a'))
  await few.attachLater(text('b'))
  const blob = await app.storage.blobs.createAndUpload(text('c'))
  await assert.rejects(
    app.transaction((user) => user.record(1).few.attach(blob.signedId)),
    code('TOO_MANY_FILES'),
  )
})

/** Two transactions that each hold a lane and ask for the other's. */
async function submitAcross(
  app: App,
  one: (user: User) => Promise<unknown>,
  two: (user: User) => Promise<unknown>,
): Promise<string[]> {
  const committed: string[] = []
  const start = (
    name: string,
    run: (user: User) => Promise<unknown>,
  ): { reached: Promise<void>; go(): void; done: Promise<void> } => {
    const reached = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    let first = true
    const done = app.begin(async () => {
      await app.transaction(async (user) => {
        const hold = user.holdAfter(/^(update|select).* locks|^delete from workers/)
        void hold.reached.then(reached.resolve)
        if (first) void go.promise.then(hold.open)
        else hold.open()
        first = false
        await run(user)
      })
      committed.push(name)
    })
    return { reached: reached.promise, go: go.resolve, done }
  }
  const a = start('a.txt', one)
  await Promise.race([a.reached, a.done.then(() => assert.fail('it took no lock'))])
  const b = start('b.txt', two)
  await Promise.race([b.reached, app.settledOrWaiting(b.done)])
  a.go()
  b.go()
  await Promise.all([a.done, b.done])
  return committed
}
const file = (name: string) => text(name, `${name}.txt`)
const photoAndCover = (user: User) =>
  user.record(1).attachLater({ photo: file('a'), cover: file('a') })
const coverAndPhoto = (user: User) =>
  user.record(1).attachLater({ cover: file('b'), photo: file('b') })

atEach(
  levels,
  'two forms with the same attachments in opposite order are both submitted; the last one stays',
  async (app) => {
    const committed = await submitAcross(app, photoAndCover, coverAndPhoto)
    await app.finishTidy()
    assert.deepEqual(
      [await app.attached(1, 'photo'), await app.attached(1, 'cover')],
      [[committed.at(-1)], [committed.at(-1)]],
    )
  },
)

atEach(
  levels,
  'submissions to two records in opposite order both succeed; the last one stays',
  async (app) => {
    const inOrder =
      (name: string, ...ids: readonly number[]) =>
      async (user: User) => {
        for (const id of ids) await user.record(id).photo.attachLater(file(name))
      }
    const committed = await submitAcross(app, inOrder('a', 1, 2), inOrder('b', 2, 1))
    await app.finishTidy()
    assert.deepEqual(
      [await app.attached(1, 'photo'), await app.attached(2, 'photo')],
      [[committed.at(-1)], [committed.at(-1)]],
    )
  },
)

atEach(
  levels.filter(({ dialect, isolation }) => dialect !== 'SQLite' && isolation === 'read committed'),
  'no form is the victim of a deadlock with another form of its record',
  async (app) => {
    await submitAcross(app, photoAndCover, coverAndPhoto)
    assert.equal(app.retries, 0)
  },
)
