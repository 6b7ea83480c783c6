import assert from 'node:assert/strict'
import { endsWithin } from '../../async/deadline.ts'
import { createActiveStorage } from '../../storage/create-active-storage.ts'
import { hasManyAttached } from '../../attached/definitions.ts'
import type { Database } from '../../database/database.ts'
import type { Executor } from '../../database/executor.ts'
import { createPortableExecutor } from '../../database/placeholders.ts'
import type { QueueMessage, JobEngine } from '../../jobs/engine.ts'
import { memory } from '../../services/memory.ts'
import { faulty } from '../faulty.ts'

/** Options of `jobEngineContract`. */
export interface JobEngineContractOptions {
  /** `test` of node:test, vitest or Jest. */
  readonly test: (name: string, run: () => Promise<void>) => unknown
  /** Milliseconds until a message that did not arrive fails the test. Default: 10,000. */
  readonly timeout?: number
  /**
   * Creates an empty queue and an empty database, the queue's own if the queue is transactional.
   */
  create(): Promise<{
    readonly engine: JobEngine
    readonly database: Database<never, boolean>
    /** Ends what `create` started. The suite closes `database` before. */
    close(): Promise<void>
  }>
}

/** Milliseconds by which the clock of the queue's server may be ahead of this process's. */
const CLOCK_TOLERANCE_MS = 20
/** Milliseconds after which a worker that was given 100 to stop has failed to. */
const STOP_LIMIT_MS = 3_000

type JobEngineBehaviour = (name: string, run: (app: App) => Promise<void>) => unknown

/** Registers the tests that every queue must pass. Run it on an engine of your own. */
export function jobEngineContract({
  test,
  create,
  timeout = 10_000,
}: JobEngineContractOptions): void {
  const on: JobEngineBehaviour = (name, run) =>
    test(name, async () => {
      const created = await create()
      const { engine, database } = created
      const app = await createApp(engine, database, timeout)
      try {
        await run(app)
      } finally {
        await app.storage.close()
        await created.close()
      }
    })
  testUploads(on)
  testMessages(on)
  testEngineEnds(on)
}

/** Behaviours that a storage sees. */
function testUploads(on: JobEngineBehaviour): void {
  on(
    'each submitted upload reaches one worker and is attached once',
    async ({ storage, service, finished, soon }) => {
      const one = storage.work({ concurrency: 2 })
      const another = storage.work({ concurrency: 2 })
      const ids = Array.from({ length: 20 }, (_, index) => index + 1)
      const all = finished(ids.length)
      await Promise.all(
        ids.map((id) =>
          storage.transaction((tx) =>
            storage
              .record('User', id, { transaction: tx })
              .documents.attachLater({ io: Buffer.from(`${id}`), filename: 'a.txt' }),
          ),
        ),
      )
      await soon(all)
      await Promise.all([one.stop(), another.stop()])
      for (const id of ids)
        assert.equal((await storage.record('User', id).documents.attachments()).length, 1)
      assert.equal(service.objects.size, ids.length)
    },
  )

  on(
    'an upload that was submitted while no worker ran reaches the next one',
    async ({ storage, finished, soon }) => {
      const all = finished(1)
      await storage.transaction((tx) =>
        storage
          .record('User', 1, { transaction: tx })
          .documents.attachLater({ io: Buffer.from('a'), filename: 'a.txt' }),
      )
      const worker = storage.work()
      await soon(all)
      await worker.stop()
      assert.equal((await storage.record('User', 1).documents.attachments()).length, 1)
    },
  )

  on('a retry is delivered when it is due', async ({ storage, service, finished, soon }) => {
    service.fail(1)
    const worker = storage.work()
    const all = finished(1)
    await storage.transaction((tx) =>
      storage
        .record('User', 1, { transaction: tx })
        .documents.attachLater({ io: Buffer.from('a'), filename: 'a.txt' }),
    )
    await soon(all)
    await worker.stop()
    assert.equal((await storage.record('User', 1).documents.attachments()).length, 1)
  })
}

/** Behaviours of single messages. */
function testMessages(on: JobEngineBehaviour): void {
  on('a message is not delivered before its time', async ({ engine, enqueue, soon }) => {
    const delivered = Promise.withResolvers<number>()
    const listener = await engine.work(async () => delivered.resolve(Date.now()), {
      concurrency: 1,
    })
    const runAt = new Date(Date.now() + 200)
    await enqueue({ kind: 'upload', id: 'later' }, runAt)
    const at = await soon(delivered.promise).finally(() => listener.stop(10_000))
    const early = runAt.getTime() - at
    assert.ok(early <= CLOCK_TOLERANCE_MS, `It was delivered ${early} ms too early.`)
  })

  on(
    'a message that is enqueued while one with the same id is handled is delivered too',
    async ({ engine, enqueue, soon }) => {
      const message: QueueMessage = { kind: 'upload', id: 'twice' }
      const again = Promise.withResolvers<QueueMessage>()
      let count = 0
      const listener = await engine.work(
        async (delivered) => {
          count += 1
          if (count === 1) await enqueue(message)
          else again.resolve(delivered)
        },
        { concurrency: 1 },
      )
      await enqueue(message)
      assert.deepEqual(await soon(again.promise).finally(() => listener.stop(10_000)), message)
    },
  )
}

/** Behaviours at the end of a transaction, and of a worker. */
function testEngineEnds(on: JobEngineBehaviour): void {
  on(
    'a transactional queue drops the messages of a transaction that is rolled back',
    async ({ engine, database, enqueueOn, soon }) => {
      if (!engine.transactional) return
      const enqueue = (id: string, { fails = false } = {}): Promise<void> =>
        database.transaction(async ({ executor }) => {
          await enqueueOn(executor, { kind: 'upload', id })
          if (fails) throw new Error('of the test')
        })
      await assert.rejects(enqueue('undone', { fails: true }), /of the test/)
      await enqueue('kept')
      const seen: string[] = []
      const kept = Promise.withResolvers<void>()
      const listener = await engine.work(
        ({ id }) => {
          seen.push(id)
          if (id === 'kept') kept.resolve()
          return Promise.resolve()
        },
        { concurrency: 1 },
      )
      await soon(kept.promise).finally(() => listener.stop(10_000))
      assert.ok(!seen.includes('undone'))
    },
  )

  on('a worker that stops waits for its running handlers', async ({ engine, enqueue, soon }) => {
    const began = Promise.withResolvers<QueueMessage>()
    let returned = false
    const listener = await engine.work(
      async (message) => {
        began.resolve(message)
        await new Promise((resolve) => setTimeout(resolve, 50))
        returned = true
      },
      { concurrency: 1 },
    )
    const message: QueueMessage = { kind: 'upload', id: 'of-the-test' }
    await enqueue(message)
    assert.deepEqual(await soon(began.promise).finally(() => listener.stop(10_000)), message)
    assert.ok(returned)
  })

  on('a worker that stops does not wait longer than it may', async ({ engine, enqueue, soon }) => {
    const began = Promise.withResolvers<void>()
    const end = Promise.withResolvers<void>()
    const listener = await engine.work(
      () => {
        began.resolve()
        return end.promise
      },
      { concurrency: 1 },
    )
    await enqueue({ kind: 'upload', id: 'endless' })
    const stopped = soon(began.promise).finally(() => listener.stop(100))
    const hasStopped = await endsWithin(stopped, STOP_LIMIT_MS)
    // The worker must be free to close what it opened.
    end.resolve()
    await stopped
    assert.ok(hasStopped, `It did not stop within ${STOP_LIMIT_MS} ms, and was given 100 ms.`)
  })
}

type App = Awaited<ReturnType<typeof createApp>>

async function createApp(engine: JobEngine, database: Database<never, boolean>, timeout: number) {
  const objects = memory()
  const service = { ...faulty(objects), objects: objects.objects }
  let awaited: { count: number; resolve(): void } | undefined
  const models = {
    User: {
      documents: hasManyAttached({
        afterUploadAll() {
          if (awaited !== undefined && (awaited.count -= 1) === 0) awaited.resolve()
        },
      }),
    },
  }
  const storage = createActiveStorage({
    database,
    services: { memory: service },
    models,
    secretKeyBase: 'a secret of the tests',
    retries: { minDelay: '1ms', maxDelay: '1ms' },
    logger: false,
    jobs: engine,
  })
  await storage.migrate()
  /** Passes a message to the engine as the library does. */
  const enqueueOn = async (
    executor: Executor,
    message: QueueMessage,
    runAt: Date | null = null,
  ): Promise<void> => {
    const dialect = await database.open()
    const portable = createPortableExecutor(executor, dialect, database.placeholders)
    await engine.enqueue(message, { executor: portable, runAt })
  }
  return {
    storage,
    service,
    engine,
    database,
    enqueueOn,
    /** Passes a message to the engine, and commits it. */
    enqueue: (message: QueueMessage, runAt: Date | null = null): Promise<void> =>
      engine.transactional
        ? database.transaction(({ executor }) => enqueueOn(executor, message, runAt))
        : enqueueOn(database.executor, message, runAt),
    /** Rejects if a message does not arrive within the time limit. */
    async soon<T>(coming: Promise<T>): Promise<T> {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(
          () => reject(new Error(`The queue delivered nothing within ${timeout} ms.`)),
          timeout,
        )
      })
      return Promise.race([coming, late]).finally(() => clearTimeout(timer))
    },
    /** Resolves when this many uploads, counted from now, are finished. */
    finished(count: number): Promise<void> {
      const { promise, resolve } = Promise.withResolvers<void>()
      awaited = { count, resolve }
      return promise
    },
  }
}
