// A queue of the app carries messages. Lost or repeated ones lose and repeat no work.
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { createActiveStorage, hasManyAttached } from '../src/index.ts'
import type { QueueMessage, JobEngine } from '../src/adapters.ts'
import { kinds, type Kind } from './support/databases.ts'
import { toLogger } from './support/logger.ts'
import { retries, switchable, text } from './support/storage.ts'
import { shortenTimers } from './support/time.ts'
import { hasOneAttached } from '../src/index.ts'
import { testStorage } from '../src/testing/index.ts'
import { ServiceError } from '../src/index.ts'
import type { Service } from '../src/adapters.ts'
import { atEach, databases, closeServers } from './support/races.ts'

after(closeServers)

interface FakeQueue extends JobEngine {
  readonly hints: QueueMessage[]
  deliver(hint: QueueMessage): Promise<void>
}

/** Keeps hints until the test delivers them; `automatic` brings them to the worker at once. */
function fakeQueue(options: {
  transactional: boolean
  automatic?: boolean
  onEnqueue?: JobEngine['enqueue']
}): FakeQueue {
  const hints: QueueMessage[] = []
  const subscribed = Promise.withResolvers<(hint: QueueMessage) => Promise<void>>()
  const deliver = async (hint: QueueMessage): Promise<void> => (await subscribed.promise)(hint)
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

    test('a queue in the same database gets messages inside the transaction, and rolls back with it', async (t) => {
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

    test('a duplicate, late or unordered message attaches each file once', async (t) => {
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
      const seen = new Set<QueueMessage>()
      for (
        let hint = queue.hints.find((each) => !seen.has(each));
        hint !== undefined;
        hint = queue.hints.find((each) => !seen.has(each))
      ) {
        seen.add(hint)
        await queue.deliver(hint)
        // Waits for the message of the next.
        await app.storage.sweep()
      }
      await queue.deliver(second!)
      await worker.stop()
      assert.deepEqual(
        (await docs.attachments()).map((file) => file.filename),
        ['a.txt', 'b.txt', 'c.txt'],
      )
      assert.equal(app.service.uploads, 3)
    })

    test("a message that comes too early by the database's clock is sent again", async (t) => {
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
      await app.storage.sweep()
      assert.equal(again.length, 2)
      assert.ok(again[1] != null && again[1].getTime() > Date.now())
      assert.equal(app.service.uploads, 0)
    })

    test('a separate queue gets messages after the commit; the sweep finds what it lost', async (t) => {
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

test(
  'a queue that is down at start is subscribed to later, and uploads run meanwhile',
  { timeout: 10_000 },
  async (t) => {
    shortenTimers(t)
    const attached = Promise.withResolvers<void>()
    const delivered = Promise.withResolvers<void>()
    const subscribed = Promise.withResolvers<void>()
    const up = Promise.withResolvers<void>()
    let tries = 0
    let handler: ((hint: QueueMessage) => Promise<void>) | undefined
    const jobs: JobEngine = {
      name: 'a queue of the test',
      transactional: false,
      enqueue: (hint) => Promise.resolve(handler?.(hint)),
      async work(handle) {
        tries += 1
        if (tries < 3) throw new Error('connection refused')
        await up.promise
        handler = handle
        subscribed.resolve()
        return { stop: () => Promise.resolve() }
      },
    }
    const photo = hasOneAttached({
      afterUpload: (_record, file) =>
        (file.filename === 'first.txt' ? attached : delivered).resolve(),
    })
    const said: string[] = []
    const quiet = (): void => undefined
    const logger = {
      debug: quiet,
      info: quiet,
      warn: quiet,
      error: (message: string) => void said.push(message),
    }
    const { storage } = await testStorage({ User: { photo } }, { jobs, logger })
    t.after(() => storage.close())
    const worker = storage.work()
    await storage.record('User', 1).photo.attachLater(text('first'))
    await attached.promise
    assert.match(said[0] ?? '', /does not deliver; workers poll/)
    up.resolve()
    await subscribed.promise
    await storage.record('User', 2).photo.attachLater(text('second'))
    await delivered.promise
    await worker.stop()
    assert.equal(tries, 3)
  },
)

test('a queue may deliver while a worker subscribes to it', { timeout: 10_000 }, async (t) => {
  const attached = Promise.withResolvers<void>()
  const messages: QueueMessage[] = []
  const handled: Promise<void>[] = []
  const jobs: JobEngine = {
    name: 'a queue of the test',
    transactional: false,
    enqueue: (message) => Promise.resolve(void messages.push(message)),
    work(handle) {
      handled.push(...messages.splice(0).map(handle))
      return Promise.resolve({ stop: () => Promise.resolve() })
    },
  }
  const errors: string[] = []
  const logger = toLogger({ error: (message) => void errors.push(message) })
  const photo = hasOneAttached({ afterUpload: () => attached.resolve() })
  const { storage } = await testStorage({ User: { photo } }, { jobs, logger })
  t.after(() => storage.close())
  await storage.record('User', 1).photo.attachLater(text('x'))
  while (messages.length === 0) await new Promise(setImmediate)
  const worker = storage.work()
  await attached.promise
  await worker.stop()
  await Promise.all(handled)
  assert.deepEqual([handled.length, errors], [1, []])
})

const models = { User: { photo: hasOneAttached(), certificates: hasManyAttached() } }

atEach(databases, 'as many messages are sent as uploads are committed', async (app) => {
  const ids: string[] = []
  const jobs: JobEngine = {
    name: 'a slow queue',
    transactional: false,
    async enqueue({ id }) {
      await delay(2)
      ids.push(id)
    },
    work: () => Promise.resolve({ stop: () => Promise.resolve() }),
  }
  const storages = [app.anotherWith(models, { jobs }), app.anotherWith(models, { jobs })]
  await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      storages[index % 2]!.record('User', index).photo.attachLater(text('x')),
    ),
  )
  await Promise.all(storages.map((storage) => storage.sweep()))
  assert.equal(new Set(ids).size, 20)
  assert.equal(ids.length, 20)
})

atEach(databases, 'messages that a queue did not take are sent by the next sweep', async (app) => {
  let isAway = true
  const ids = new Set<string>()
  const jobs: JobEngine = {
    name: 'a queue that goes away',
    transactional: false,
    async enqueue({ id }) {
      if (isAway && ids.size === 1) throw new Error('connection refused')
      ids.add(id)
    },
    work: () => Promise.resolve({ stop: () => Promise.resolve() }),
  }
  const storage = app.anotherWith(models, { jobs })
  await app.storage.record('User', 1).photo.attachLater(text('x'))
  await app.storage.record('User', 2).photo.attachLater(text('x'))
  await app.storage.record('User', 3).photo.attachLater(text('x'))
  await storage.sweep()
  assert.equal(ids.size, 1)
  isAway = false
  await storage.sweep()
  assert.equal(ids.size, 3)
})

/** A queue elsewhere, whose hints the test brings by hand. */
function byHand() {
  const hints: QueueMessage[] = []
  const running = new Set<Promise<void>>()
  let handler: (hint: QueueMessage) => Promise<void> = () => assert.fail('nobody subscribed')
  const engine: JobEngine = {
    name: 'a queue of the test',
    transactional: false,
    enqueue: (hint) => Promise.resolve(void hints.push(hint)),
    work(handle) {
      handler = handle
      return Promise.resolve({ stop: async () => void (await Promise.all(running)) })
    },
  }
  const bring = (hint: QueueMessage): Promise<void> => {
    const promise = handler(hint)
    running.add(promise)
    return promise
  }
  return { engine, hints, bring }
}

atEach(databases, 'an upload that is released is enqueued again, and once', async (app) => {
  const queue = byHand()
  const begun = Promise.withResolvers<void>()
  let attempts = 0
  const service: Service = {
    ...app.service,
    upload(_key, _body, { signal }) {
      attempts += 1
      if (attempts === 1) return Promise.reject(new ServiceError('the service is down'))
      begun.resolve()
      return new Promise((_resolve, reject) =>
        signal?.addEventListener('abort', () => reject(signal.reason as Error)),
      )
    },
  }
  const storage = app.anotherWith(
    models,
    { jobs: queue.engine, retries: { attempts: 3, minDelay: '1h', maxDelay: '1h' } },
    service,
  )
  const worker = storage.work()
  await storage.record('User', 1).photo.attachLater(text('x'))
  await storage.sweep()
  const [hint] = queue.hints
  assert.ok(hint !== undefined)
  await queue.bring(hint)
  await app.makeDue()
  await storage.sweep()
  const before = queue.hints.length
  const carrying = queue.bring(hint)
  await begun.promise
  await worker.stop({ timeout: '1ms' })
  await carrying
  await storage.sweep()
  assert.equal(queue.hints.length, before + 1)
  assert.equal(queue.hints.at(-1)?.id, hint.id)
})
