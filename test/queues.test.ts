// A queue of the app's own carries hints. Whatever it does to them, nothing is lost and nothing is done twice.
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { createActiveStorage, hasManyAttached, type Hint, type JobEngine } from '../src/index.ts'
import { kinds, stopEmbedded, type Kind } from './support/databases.ts'
import { retries, switchable, text } from './support/storage.ts'

after(() => stopEmbedded())

interface FakeQueue extends JobEngine {
  readonly hints: Hint[]
  deliver(hint: Hint): Promise<void>
}

/** Keeps hints until the test delivers them; `automatic` brings them to the worker at once. */
function fakeQueue(options: {
  transactional: boolean
  automatic?: boolean
  onEnqueue?: JobEngine['enqueue']
}): FakeQueue {
  const hints: Hint[] = []
  const subscribed = Promise.withResolvers<(hint: Hint) => Promise<void>>()
  const deliver = async (hint: Hint): Promise<void> => (await subscribed.promise)(hint)
  return {
    name: 'a queue of the test',
    transactional: options.transactional,
    hints,
    deliver,
    async enqueue(hint, given) {
      await options.onEnqueue?.(hint, given)
      hints.push(hint)
      if (options.automatic === true) void deliver(hint)
    },
    work(handle) {
      subscribed.resolve(handle)
      return Promise.resolve({ stop: () => Promise.resolve() })
    },
  }
}

async function appOn(kind: Kind, jobs: JobEngine, hooks: { afterUploadAll?: () => void } = {}) {
  const made = await kind.create()
  if (made === null) return null
  const service = switchable()
  const storage = createActiveStorage({
    database: made.database,
    services: { test: service },
    secretKeyBase: 'a secret of the tests',
    retries,
    logger: false,
    jobs,
    models: { User: { docs: hasManyAttached(hooks) } },
  })
  await storage.migrate()
  const close = async (): Promise<void> => {
    await storage.close()
    await made.close()
  }
  return { made, storage, service, close }
}

for (const kind of kinds)
  describe(kind.name, () => {
    const skip = `${kind.name}: ${kind.why ?? 'not to be had here'}`

    test('a queue in the same database is told inside the transaction, and forgets with it', async (t) => {
      const statements: string[] = []
      const queue = fakeQueue({
        transactional: true,
        onEnqueue: async (hint, { executor }) => {
          const { rows } = await executor.run(
            `select token from activestorage_delayed_uploads where token = '${hint.id}'`,
            [],
          )
          statements.push(String(rows[0]?.['token']))
        },
      })
      const app = await appOn(kind, queue)
      if (app === null) return t.skip(skip)
      t.after(app.close)
      await app.storage.transaction(async (tx) => {
        await app.storage.record('User', 1, { transaction: tx }).docs.attachLater(text('a'))
        assert.equal(queue.hints.length, 1)
      })
      assert.deepEqual(statements, [queue.hints[0]?.id])
    })

    test('hints delivered twice, late, for nothing, or out of turn attach each file once', async (t) => {
      const queue = fakeQueue({ transactional: true })
      const app = await appOn(kind, queue)
      if (app === null) return t.skip(skip)
      t.after(app.close)
      const { docs } = app.storage.record('User', 1)
      for (const name of ['a', 'b', 'c']) await docs.attachLater(text(name))
      const [first, second, third] = queue.hints
      const worker = app.storage.work({ concurrency: 2 })
      await queue.deliver(third!)
      await queue.deliver({ kind: 'upload', id: '00000000-0000-7000-8000-000000000000' })
      await Promise.all([queue.deliver(first!), queue.deliver(first!)])
      // The end of each upload frees its lane, and hints at the next.
      const seen = new Set<Hint>()
      for (
        let hint = queue.hints.find((each) => !seen.has(each));
        hint !== undefined;
        hint = queue.hints.find((each) => !seen.has(each))
      ) {
        seen.add(hint)
        await queue.deliver(hint)
      }
      await queue.deliver(second!)
      await worker.stop()
      assert.deepEqual(
        (await docs.attachments()).map((file) => file.filename),
        ['a.txt', 'b.txt', 'c.txt'],
      )
      assert.equal(app.service.uploads, 3)
    })

    test('a hint that comes before its time by the clock of the database comes again', async (t) => {
      const again: (Date | null)[] = []
      const queue = fakeQueue({
        transactional: true,
        onEnqueue: (_hint, { runAt }) => Promise.resolve(void again.push(runAt)),
      })
      const app = await appOn(kind, queue)
      if (app === null) return t.skip(skip)
      t.after(app.close)
      await app.storage.record('User', 1).docs.attachLater(text('a'))
      await app.storage.transaction((tx) =>
        app.made.execute(
          tx,
          'update activestorage_delayed_uploads set run_at = run_at + 4000000000000',
        ),
      )
      const worker = app.storage.work()
      await queue.deliver(queue.hints[0]!)
      await worker.stop()
      assert.equal(again.length, 2)
      assert.ok(again[1] != null && again[1].getTime() > Date.now())
      assert.equal(app.service.uploads, 0)
    })

    test('a queue elsewhere is told after the commit, of retries too; what it lost is found by the sweep', async (t) => {
      const uploaded = Promise.withResolvers<void>()
      const options = { transactional: false, automatic: true }
      const queue = fakeQueue(options)
      const app = await appOn(kind, queue, { afterUploadAll: () => uploaded.resolve() })
      if (app === null) return t.skip(skip)
      t.after(app.close)
      app.service.failures = 1
      const worker = app.storage.work()
      await app.storage.transaction(async (tx) => {
        await app.storage.record('User', 1, { transaction: tx }).docs.attachLater(text('a'))
        assert.equal(queue.hints.length, 0)
      })
      await uploaded.promise
      await worker.stop()
      options.automatic = false
      const lost = queue.hints.length
      await app.storage.transaction((tx) =>
        app.storage.record('User', 2, { transaction: tx }).docs.attachLater(text('b')),
      )
      await app.storage.sweep()
      assert.ok(queue.hints.length > lost)
      queue.hints.length = 0
      await app.storage.sweep()
      assert.equal(queue.hints.length, 0, 'a hint of a moment ago is not repeated')
      await app.storage.transaction((tx) =>
        app.made.execute(tx, 'update activestorage_delayed_uploads set enqueued_at = 1'),
      )
      await app.storage.sweep()
      assert.ok(queue.hints.length > 0, 'an old hint is')
    })
  })
