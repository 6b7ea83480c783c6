// The contract suites pass on our databases and queues, and fail on broken ones and on broken
// services.
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import type { Database, JobEngine, Service } from '../src/adapters.ts'
import {
  databaseContract,
  jobEngineContract,
  serviceContract,
  type DatabaseContractOptions,
  type ServiceContractOptions,
} from '../src/testing/index.ts'
import { memory } from '../src/services/memory.ts'
import { kinds, closeDatabases, type Kind } from './support/databases.ts'
import { memoryQueue, tableQueue } from './support/table-queue.ts'

after(() => closeDatabases())

async function created(kind: Kind) {
  const made = await kind.create()
  return made === null
    ? null
    : { database: made.database as Database<never, boolean>, close: () => made.close() }
}

/** Thrown if a server is not available. */
class Missing extends Error {}

for (const kind of kinds) {
  const skipping: DatabaseContractOptions['test'] = (name, run) =>
    test(name, (t) =>
      run().catch((error: unknown) => {
        if (!(error instanceof Missing)) throw error
        t.skip(error.message)
      }),
    )
  const create = async () => {
    const made = await created(kind)
    if (made === null) throw new Missing(`${kind.name}: ${kind.why ?? 'not to be had here'}`)
    return made
  }
  describe(`a database: ${kind.name}`, () => databaseContract({ test: skipping, create }))
  describe(`a queue in ${kind.name}`, () =>
    jobEngineContract({
      test: skipping,
      async create() {
        const made = await create()
        return { ...made, engine: await tableQueue(made.database as Database<never>) }
      },
    }))
}

const sqliteKind = kinds[0] as Kind
const queueOf = (engine: () => JobEngine) => async () => ({
  ...((await created(sqliteKind)) ?? assert.fail()),
  engine: engine(),
})
describe('a queue elsewhere', () =>
  jobEngineContract({ test, create: queueOf(() => memoryQueue()) }))

/** Names of what a suite finds wrong. */
async function faults(suite: (run: DatabaseContractOptions['test']) => void): Promise<string[]> {
  const cases: { name: string; run: () => Promise<void> }[] = []
  suite((name, run) => cases.push({ name, run }))
  const found: string[] = []
  for (const { name, run } of cases) await run().catch(() => found.push(name))
  return found
}

test('the suites find faults', async () => {
  const spoilt =
    (spoil: (database: Database<never, boolean>) => Partial<Database<never, boolean>>) =>
    async () => {
      const made = (await created(sqliteKind)) ?? assert.fail()
      return { ...made, database: { ...made.database, ...spoil(made.database) } }
    }
  const on = (create: DatabaseContractOptions['create']) =>
    faults((run) => databaseContract({ test: run, create }))
  assert.deepEqual(await on(spoilt(() => ({ isUniqueViolation: () => false }))), [
    'unique violations and transient errors are recognized, and connections stay usable',
  ])
  assert.deepEqual(await on(spoilt(({ executor }) => ({ join: () => executor }))), [
    'a transaction commits when its function returns, and rolls back when it throws',
    'join refuses a value that is no transaction',
    'a storage on the database stages, uploads, attaches and purges',
  ])
  const text = spoilt(({ executor }) => ({
    executor: {
      run: async (sql, values) =>
        executor.run(
          sql,
          values.map((value) => (Buffer.isBuffer(value) ? value.toString() : value)),
        ),
    },
  }))
  assert.ok((await on(text)).includes('parameters and rows keep their values'))

  const queue = (engine: () => JobEngine, timeout: number) =>
    faults((run) => jobEngineContract({ test: run, create: queueOf(engine), timeout }))
  assert.deepEqual(await queue(() => memoryQueue({ abandons: true }), 30_000), [
    'a worker that stops waits for its running handlers',
  ])
  assert.deepEqual(await queue(() => memoryQueue({ waits: true }), 30_000), [
    'a worker that stops does not wait longer than it may',
  ])
  assert.deepEqual(await queue(() => memoryQueue({ hurries: true }), 30_000), [
    'a message is not delivered before its time',
  ])
  assert.ok(
    (await queue(() => memoryQueue({ dropsRepeated: true }), 500)).includes(
      'a message that is enqueued while one with the same id is handled is delivered too',
    ),
  )
  assert.equal((await queue(() => memoryQueue({ loses: true }), 100)).length, 7)
})

/** Names of the tests that a service in memory fails when some of its members are replaced. */
function faultsOfService(
  spoil: (service: Service) => Partial<Service>,
  request?: ServiceContractOptions['fetch'],
): Promise<string[]> {
  return faults((run) => {
    const create = async (): Promise<Service> => {
      const service = memory()
      return { ...service, ...spoil(service) }
    }
    serviceContract({ test: run, create, ...(request === undefined ? {} : { fetch: request }) })
  })
}

test('the suite of services finds a service that ignores signals or ranges', async () => {
  assert.deepEqual(await faultsOfService(() => ({})), [])
  const deaf = (service: Service): Partial<Service> => ({
    upload: (key, body, { byteSize, checksum }) =>
      service.upload(key, body, { byteSize, checksum }),
  })
  assert.deepEqual(await faultsOfService(deaf), [
    'a signal that aborts rejects the upload with its reason, and nothing is published',
  ])
  const rangeless = (service: Service): Partial<Service> => ({
    async download(key, { range } = {}) {
      const [start, end] = range ?? []
      const whole = await service.download(key)
      return (async function* () {
        for await (const bytes of whole)
          yield bytes.subarray(start, end === undefined ? undefined : end + 1)
      })()
    },
  })
  assert.deepEqual(await faultsOfService(rangeless), [
    'a range that is negative, reversed or not whole is invalid',
    'a range that begins after the last byte is invalid',
  ])
})

test('the suite of services finds URLs that accept or serve something else', async () => {
  const urls = (): Partial<Service> => ({
    url: async () => 'http://store/seen',
    urlForDirectUpload: async () => ({ url: 'http://store/direct', headers: {} }),
  })
  const yielding = async () => new Response('hello')
  assert.deepEqual(await faultsOfService(urls, yielding), [
    'a URL serves the object with the type and disposition that it was signed with',
    'a URL for a direct upload accepts the announced file and refuses every other',
  ])
  assert.deepEqual(await faultsOfService(urls, null), [])
})

test('the suite of services closes each service, also after a failure', async () => {
  const open = new Set<Service>()
  const close = async (service: Service): Promise<void> => void open.delete(service)
  const create = async (): Promise<Service> => {
    const service = { ...memory(), exists: () => Promise.reject(new Error('it is broken')) }
    open.add(service)
    return service
  }
  const found = await faults((run) => serviceContract({ test: run, create, close }))
  assert.ok(found.length > 0)
  assert.equal(open.size, 0)
})
