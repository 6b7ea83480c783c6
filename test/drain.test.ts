import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import timers from 'node:timers/promises'
import { hasOneAttached } from '../src/index.ts'
import { drainSources } from '../src/jobs/drain-sources.ts'
import { EmbeddedWorker } from '../src/jobs/embedded-worker.ts'
import type { Task } from '../src/jobs/work-source.ts'
import { testStorage } from '../src/testing/index.ts'
import { closeDatabases } from './support/databases.ts'
import { shortenTimers } from './support/time.ts'
import { text } from './support/storage.ts'

after(() => closeDatabases())

const models = { User: { photo: hasOneAttached() } }
const never = (): Promise<never> => new Promise(() => undefined)

test(
  'a drain returns at its time-out although its work never ends',
  { timeout: 60_000 },
  async (t) => {
    shortenTimers(t)
    const hook = await testStorage({ User: { photo: hasOneAttached({ afterUpload: never }) } })
    const all = await testStorage({ User: { photo: hasOneAttached({ afterUploadAll: never }) } })
    const record = await testStorage(models, { findRecord: { User: never } })
    const service = await testStorage(models)
    service.service.at('upload', never)
    for (const { storage } of [hook, all, record, service]) {
      t.after(() => storage.close())
      await storage.record('User', 1).photo.attachLater(text('x'))
      await storage.drain({ timeout: '10ms' })
      await storage.drain({ signal: AbortSignal.abort() })
    }
  },
)

test(
  'a drain and a worker end at their time-outs although a sweep continues',
  { timeout: 60_000 },
  async (t) => {
    shortenTimers(t)
    const said: string[] = []
    const options = {
      sources: [],
      concurrency: 1,
      sweep: never,
      onError: (message: string) => void said.push(message),
    }
    await drainSources(options, AbortSignal.timeout(10))
    const worker = new EmbeddedWorker({
      ...options,
      subscribe: () => () => undefined,
      pollEvery: () => 1000,
    })
    await worker.stop(10)
    assert.equal(said.length, 2)
  },
)

test('a drain looks again when its work ended while it looked', async () => {
  const done: string[] = []
  const first = Promise.withResolvers<void>()
  let looks = 0
  let isFree = false
  const task = (name: string, run: () => Promise<void>): Task => ({
    run: async () => {
      await run()
      done.push(name)
    },
  })
  const claim = async (): Promise<Task[]> => {
    looks += 1
    if (looks === 1) return [task('first', () => first.promise.then(() => void (isFree = true)))]
    // The second of the lane: not its turn when this look begins, and its turn when it is over.
    if (isFree) {
      isFree = false
      return [task('second', () => Promise.resolve())]
    }
    first.resolve()
    await timers.setTimeout(5)
    return []
  }
  const sweep = (): Promise<void> => Promise.resolve()
  await drainSources(
    { sources: [{ name: 'of the test', claim }], concurrency: 2, sweep, onError: assert.fail },
    new AbortController().signal,
  )
  assert.deepEqual(done, ['first', 'second'])
})
