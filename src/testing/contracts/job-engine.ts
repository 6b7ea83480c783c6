import assert from 'node:assert/strict'
import { createActiveStorage } from '../../storage/create-active-storage.ts'
import { hasManyAttached } from '../../attached/definitions.ts'
import type { Database } from '../../database/database.ts'
import type { Executor } from '../../database/executor.ts'
import { createPortableExecutor } from '../../database/placeholders.ts'
import type { QueueMessage, JobEngine } from '../../jobs/engine.ts'
import { memory } from '../../services/memory.ts'
import { faulty } from '../faulty.ts'

/** Of `jobEngineContract`. */
export interface JobEngineContractOptions {
  /** `test` of node:test, vitest or Jest. */
  readonly test: (name: string, run: () => Promise<void>) => unknown
  /** Milliseconds after which a hint that did not come is a failure. Default 10,000. */
  readonly timeout?: number
  /** A queue with nothing in it, and an empty database: its own, where it is transactional. */
  create(): Promise<{
    readonly engine: JobEngine
    readonly database: Database<never, boolean>
    /** Ends what `create` began; the suite closes `database` itself before. */
    close(): Promise<void>
  }>
}

/** What every queue must do: run it on an engine of your own. */
export function jobEngineContract({
  test,
  create,
  timeout = 10_000,
}: JobEngineContractOptions): void {
  const soon = async <T>(coming: Promise<T>): Promise<T> => {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(
        () => reject(new Error(`The queue brought nothing within ${timeout} ms.`)),
        timeout,
      )
    })
    return Promise.race([coming, late]).finally(() => clearTimeout(timer))
  }
  const on = (
    name: string,
    run: (app: Awaited<ReturnType<typeof createApp>>) => Promise<void>,
  ): unknown =>
    test(name, async () => {
      const { engine, database, close } = await create()
      const app = await createApp(engine, database)
      try {
        await run(app)
      } finally {
        await app.storage.close()
        await close()
      }
    })

  on(
    'what is submitted is brought to a worker, and attached once',
    async ({ storage, service, finished }) => {
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
    'what was submitted while no worker ran is brought to the next one',
    async ({ storage, finished }) => {
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

  on('a retry is brought when it is due', async ({ storage, service, finished }) => {
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

  on(
    'a queue in the database forgets what its transaction undid',
    async ({ engine, database, enqueueOn }) => {
      if (!engine.transactional) return
      const enqueue = (id: string, fails: boolean): Promise<void> =>
        database.transaction(async ({ executor }) => {
          await enqueueOn(executor, { kind: 'upload', id })
          if (fails) throw new Error('of the test')
        })
      await assert.rejects(enqueue('undone', true), /of the test/)
      await enqueue('kept', false)
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

  on('a worker that stops lets its handlers return', async ({ engine, database, enqueueOn }) => {
    const began = Promise.withResolvers<QueueMessage>()
    let returned = false
    const listener = await engine.work(
      async (hint) => {
        began.resolve(hint)
        await new Promise((resolve) => setTimeout(resolve, 50))
        returned = true
      },
      { concurrency: 1 },
    )
    const hint: QueueMessage = { kind: 'upload', id: 'of-the-test' }
    if (engine.transactional)
      await database.transaction(({ executor }) => enqueueOn(executor, hint))
    else await enqueueOn(database.executor, hint)
    assert.deepEqual(await soon(began.promise).finally(() => listener.stop(10_000)), hint)
    assert.ok(returned)
  })
}

async function createApp(engine: JobEngine, database: Database<never, boolean>) {
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
  const storage = createActiveStorage<typeof models, string, never, boolean>({
    database,
    services: { memory: service },
    models,
    secretKeyBase: 'a secret of the tests',
    retries: { minDelay: '1ms', maxDelay: '1ms' },
    logger: false,
    jobs: engine,
  } as never)
  await storage.migrate()
  return {
    storage,
    service,
    engine,
    database,
    /** Hands a message to the engine as the library does. */
    async enqueueOn(executor: Executor, message: QueueMessage): Promise<void> {
      const dialect = await database.open()
      const portable = createPortableExecutor(executor, dialect, database.placeholders)
      await engine.enqueue(message, { executor: portable, runAt: null })
    },
    /** Resolves when this many uploads from now have ended. */
    finished(count: number): Promise<void> {
      const { promise, resolve } = Promise.withResolvers<void>()
      awaited = { count, resolve }
      return promise
    },
  }
}
