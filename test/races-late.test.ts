// Late events: a frozen worker, a lost response, a submission of a claimed file.
import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { after } from 'node:test'
import { openStore } from '../src/database/store.ts'
import { createTableNames } from '../src/database/schema.ts'
import { hasOneAttached } from '../src/index.ts'
import type { Service } from '../src/adapters.ts'
import { abandonObject } from '../src/blobs/object-intents.ts'
import { atEach, closeServers, databases, levels, type App } from './support/races.ts'
import { text } from './support/storage.ts'

after(closeServers)

const servers = databases.filter(({ dialect }) => dialect !== 'SQLite')
const models = { User: { photo: hasOneAttached() } }
const endLeases = (app: App) =>
  app.query("update {uploads} set lease_until = 0 where state = 'running'")

/** A service whose upload has read all bytes when it is held, and hears no signal. */
function deaf(app: App) {
  const read = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const service: Service = {
    ...app.service,
    async upload(key, body, { signal: _signal, ...options }) {
      const pieces: Uint8Array[] = []
      for await (const piece of body) pieces.push(piece)
      read.resolve()
      await gate.promise
      await app.service.upload(
        key,
        (async function* () {
          yield* pieces
        })(),
        options,
      )
    },
  }
  return { service, read: read.promise, thaw: gate.resolve }
}

/** A staged file whose worker is in the middle of attaching it. */
async function beingAttached(app: App) {
  const staged = await app.storage.stage(text('x'))
  await app.storage.record('User', 1).photo.attachLater(staged)
  const worker = app.another()
  const attaching = worker.holdBefore(/^update files set state/)
  const working = app.begin(() => worker.drain())
  await attaching.reachedBy(working)
  return { staged, attaching, working }
}

for (const how of ['purge', 'replaced'] as const)
  atEach(
    databases,
    `a worker that stores its object after another's attachment is gone (${how}) leaves no orphan`,
    async (app) => {
      const frozen = deaf(app)
      const { photo } = app.storage.record('User', 1)
      await photo.attachLater(text('x'))
      const zombie = app.begin(() =>
        app.anotherWith(models, {}, frozen.service).drain({ concurrency: 1 }),
      )
      try {
        await frozen.read
        await endLeases(app)
        assert.equal((await app.another().drain()).uploaded, 1)
        await (how === 'replaced' ? photo.attach(text('newer')) : photo[how]())
        await app.storage.drain()
      } finally {
        frozen.thaw()
      }
      assert.equal((await zombie).uploaded, 0)
      await app.finishTidy()
      assert.equal(app.service.objects.size, how === 'purge' ? 0 : 1)
      assert.deepEqual(await app.attached(1, 'photo'), how === 'replaced' ? ['newer.txt'] : [])
    },
  )

for (const what of ['an attachment', 'a has-one', 'a blob'] as const)
  atEach(
    databases,
    `the purge of ${what} leaves no object, while a clean-up that found it in use is ending`,
    async (app) => {
      const { photo } = app.storage.record('User', 1)
      const attachment = await photo.attach(text('x'))
      const blob = attachment?.blob
      if (what === 'a blob') await attachment?.detach()
      // A worker that lost the response to its own COMMIT makes this call.
      const { session } = await openStore(app.another().database, createTableNames(), 'bigint')
      await abandonObject(session, 'test', blob?.key ?? '')
      const worker = app.another()
      const ending = worker.holdBefore(/^delete from jobs/)
      const working = app.begin(() => worker.drain({ concurrency: 1 }))
      await ending.reachedBy(working)
      const purged = { 'an attachment': attachment, 'a has-one': photo, 'a blob': blob }[what]
      const purging = await app.meanwhile(async () => purged?.purge())
      ending.open()
      await Promise.all([working, purging.done])
      await app.finishTidy()
      assert.equal(app.service.objects.size, 0)
    },
  )

atEach(
  servers,
  'a staged file that a worker attaches is refused to another record at once',
  async (app) => {
    const { staged, attaching, working } = await beingAttached(app)
    const user = await app.open()
    const submitting = app.begin(() => user.record(2).photo.attachLater(staged))
    // The submission must not wait: two transactions that wait for each other's rows are in a
    // deadlock.
    assert.equal(await app.settledOrWaiting(submitting), 'settled')
    await assert.rejects(submitting, { code: 'STAGED_FILE_ALREADY_USED' })
    attaching.open()
    await app.settledOrWaiting(working)
    await user.rollback()
    assert.deepEqual(await working, { uploaded: 1, retried: 0, failed: 0, remaining: 0 })
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'photo'), ['x.txt'])
  },
)

atEach(
  levels,
  'a staged file linked again while its worker attaches it is attached once',
  async (app) => {
    const { staged, attaching, working } = await beingAttached(app)
    const again = await app.meanwhile(() =>
      app.transaction((user) => user.record(1).photo.attachLater(staged)),
    )
    attaching.open()
    assert.equal((await working).uploaded, 1)
    await again.done
    app.service.uploads = 0
    await app.finishTidy()
    assert.deepEqual([await app.attached(1, 'photo'), app.service.uploads], [['x.txt'], 0])
  },
)

atEach(
  levels,
  'a staged file attached after the transaction began is linked again without effect',
  async (app) => {
    for (const name of ['photo', 'certificates'] as const) {
      const staged = await app.storage.stage(text(name))
      await app.storage.record('User', 1)[name].attachLater(staged)
      let working: { done: Promise<unknown> } | undefined
      const answer = await app.transaction(async (user) => {
        await user.read()
        // A worker that the transaction blocks goes on after the commit.
        working ??= await app.meanwhile(() => app.another().drain())
        return user.record(1)[name].attachLater(staged)
      })
      await working?.done
      if (answer !== null) assert.equal(answer.files[0]?.filename, `${name}.txt`)
      await app.finishTidy()
      assert.deepEqual(await app.attached(1, name), [`${name}.txt`])
    }
    assert.equal(app.service.uploads, 2)
  },
)

atEach(databases, 'a lost lease is not a superseded upload: no event is published', async (app) => {
  const published: unknown[] = []
  const hear = (message: unknown): void => void published.push(message)
  subscribe('activestorage-delayed:superseded', hear)
  try {
    const { photo } = app.storage.record('User', 1)
    const upload = await photo.attachLater(text('x'))
    const [first, second] = [app.hold('uploaded'), app.hold('uploaded')]
    const zombie = app.begin(() => app.another().drain({ concurrency: 1 }))
    await first.reachedBy(zombie)
    await endLeases(app)
    const working = app.begin(() => app.another().drain())
    await second.reachedBy(working)
    first.open()
    assert.equal((await zombie).uploaded, 0)
    assert.deepEqual(published, [])
    // One that is superseded is told of by what supersedes it, and once.
    await photo.attach(text('newer'))
    second.open()
    await working
    assert.deepEqual(
      published.map((message) => (message as { upload: string }).upload),
      [upload?.id],
    )
  } finally {
    unsubscribe('activestorage-delayed:superseded', hear)
  }
  await app.finishTidy()
})
