// A service that hangs blocks neither the worker, nor other services, nor a visitor.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { after, describe, test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { sqlite } from '../src/database/sqlite.ts'
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  ServiceUnavailableError,
} from '../src/index.ts'
import type { Database, JobEngine, Service } from '../src/adapters.ts'
import { limitService } from '../src/services/limit-service.ts'
import { memory } from '../src/services/memory.ts'
import { s3 } from '../src/services/s3.ts'
import { readTimeouts } from '../src/services/timeouts.ts'
import { atEach, closeServers, databases } from './support/races.ts'
import { storageOn, text } from './support/storage.ts'
import { shortenTimers } from './support/time.ts'
import { useTemporaryFolder } from './support/temporary-folder.ts'
import { asking } from './support/web.ts'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kinds } from './support/databases.ts'
import { fresh } from './support/storage.ts'

const models = {
  User: { photo: hasOneAttached({ service: 'away' }), docs: hasManyAttached({ service: 'fine' }) },
}
const serviceTimeouts = {
  progress: { bytes: '64 KB', within: '300ms' },
  call: '300ms',
  copy: '900ms',
} as const
/** Delays after which nothing that failed is due again within a test. */
const retries = { minDelay: '1h', maxDelay: '1h' } as const
const MEGABYTE = 1024 ** 2

const sockets = new Set<Socket>()
after(async () => {
  await closeServers()
  for (const socket of sockets) socket.destroy()
})

/** A server in name only, as an S3 bucket. */
async function serving(t: TestContext, serve: (socket: Socket) => void): Promise<Service> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
    serve(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => void server.close())
  const { port } = server.address() as AddressInfo
  return s3({
    bucket: 'bucket',
    endpoint: `http://127.0.0.1:${port}`,
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    connectTimeout: '300ms',
  })
}

async function storageWith(t: TestContext, away: Service, options: object = {}) {
  const database = sqlite(':memory:') as unknown as Database<never>
  const fine = memory()
  const storage = createActiveStorage({
    database,
    services: { away, fine },
    service: 'fine',
    models,
    secretKeyBase: 'a secret of the tests',
    logger: false,
    retries,
    serviceTimeouts,
    ...options,
  })
  await storage.migrate()
  t.after(() => storage.close())
  const query = async (sql: string) => (await database.executor.run(sql, [])).rows
  return { storage, fine, query }
}

/** Servers that do not respond properly, by their behaviour. */
const sick: Readonly<Record<string, (socket: Socket) => void>> = {
  'accepts all bytes and never responds': (socket) => socket.resume(),
  'stops accepting bytes, as with dropped packets': () => undefined,
  'sends its response a byte at a time': (socket) => {
    socket.resume()
    const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n'
    let sent = 0
    const timer = setInterval(() => socket.write(answer[sent++ % answer.length] ?? ''), 100)
    socket.on('close', () => clearInterval(timer))
  },
  'closes its half of the connection': (socket) => socket.resume().end(),
}

describe('a server', { concurrency: true }, () => {
  for (const [how, serve] of Object.entries(sick))
    test(`that ${how} ends each call as ServiceUnavailableError, and the upload is tried again`, async (t) => {
      const away = await serving(t, serve)
      const { storage } = await storageWith(t, away)
      const { photo, docs } = storage.record('User', 1)
      await photo.attachLater({ io: Buffer.alloc(8 * MEGABYTE), filename: 'large.bin' })
      await docs.attachLater(text('other'))
      const { retried, uploaded, remaining } = await storage.drain({ concurrency: 1 })
      assert.deepEqual({ retried, uploaded, remaining }, { retried: 1, uploaded: 1, remaining: 1 })
      const [upload] = await photo.delayedUploads()
      assert.equal(upload?.state, 'pending')
      assert.match(upload?.lastError ?? '', /^The (service away|bucket bucket) /)

      await assert.rejects(photo.attach(text('direct')), ServiceUnavailableError)
      const asked = limitService('away', away, readTimeouts(serviceTimeouts))
      const calls: (() => Promise<unknown>)[] = [
        () => asked.exists('key'),
        () => asked.delete('key'),
        async () => asked.copy?.('key', 'other'),
        async () => {
          for await (const _ of await asked.download('key')) continue
        },
      ]
      await Promise.all(calls.map((call) => assert.rejects(call, ServiceUnavailableError)))
    })
})

/** One whose calls never return, and hear no signal. */
const never = <T>(): Promise<T> => new Promise(() => undefined)
const deaf: Service = {
  ...memory(),
  upload: never,
  download: never,
  delete: never,
  deletePrefixed: never,
  exists: never,
  compose: never,
  copy: never,
  url: never,
  urlForDirectUpload: never,
}

test('every call of a service that never returns ends', async () => {
  const asked = limitService('away', deaf, readTimeouts(serviceTimeouts))
  const body = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from('x')
  }
  const options = {
    expiresIn: 1,
    disposition: 'inline',
    contentType: 'a/b',
    byteSize: 1,
    checksum: 'x',
  }
  const calls: (() => Promise<unknown>)[] = [
    () => asked.upload('key', body(), { byteSize: 1, checksum: 'x' }),
    () => asked.download('key'),
    () => asked.delete('key'),
    async () => asked.deletePrefixed?.('key'),
    () => asked.exists('key'),
    async () => asked.compose?.(['key'], 'other'),
    async () => asked.copy?.('key', 'other'),
    () => asked.url('key', options),
    () => asked.urlForDirectUpload('key', options),
  ]
  await Promise.all(
    calls.map((call) =>
      assert.rejects(
        call,
        (error: Error) =>
          error instanceof ServiceUnavailableError && error.retryable && error.message.length < 200,
      ),
    ),
  )
  // A caller that aborts does not wait either.
  await assert.rejects(
    asked.exists('key', { signal: AbortSignal.abort(new Error('not wanted')) }),
    /not wanted/,
  )
  await assert.rejects(async () => asked.copy?.('key', 'other', { signal: AbortSignal.timeout(1) }))
})

test('a purge of many files waits once for a hanging service', async (t) => {
  let asked = 0
  const fine: Service = { ...memory(), delete: () => ((asked += 1), never()) }
  const { storage, query } = await storageWith(t, memory(), { services: { away: memory(), fine } })
  const { docs } = storage.record('User', 1)
  await docs.attach([text('a'), text('b'), text('c')])
  await docs.purge()
  assert.equal(asked, 1)
  assert.equal(
    (await query("select id from activestorage_delayed_jobs where name = 'delete-object'")).length,
    3,
  )
})

test('a service that throws before it returns a promise fails only its call', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const hasty: Service = {
    ...memory(),
    exists() {
      throw new Error('not connected')
    },
  }
  const asked = limitService('hasty', hasty, readTimeouts(serviceTimeouts))
  const giving = new AbortController()
  await assert.rejects(asked.exists('key', { signal: giving.signal }), /not connected/)
  giving.abort()
  // A call that still waits for it would fail here.
  t.mock.timers.tick(10_000)
})

test('a visitor gets 503 from a hanging service, and a download that stops half way ends', async (t) => {
  const stopping = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(MEGABYTE)
    await never()
  }
  let away: Service = deaf
  const service: Service = {
    ...deaf,
    download: (key, options) => away.download(key, options),
    urlForDirectUpload: memory().urlForDirectUpload,
  }
  const { storage } = await storageWith(t, service)
  const announced = await storage.blobs.createBeforeDirectUpload({
    service: 'away',
    filename: 'a.bin',
    byteSize: 2 * MEGABYTE,
    checksum: createHash('md5').digest('base64'),
    contentType: 'application/octet-stream',
  })
  const path = `/rails/active_storage/blobs/proxy/${announced.blob.signedId}/a.bin`
  const answer = await asking(storage)(path)
  assert.equal(answer.status, 503)
  assert.doesNotMatch(answer.text, /away|64 KB/)
  away = { ...deaf, download: () => Promise.resolve(stopping()) }
  const response = await storage.handler(new Request(`http://app.test${path}`))
  assert.equal(response.status, 200)
  await assert.rejects(response.arrayBuffer(), (error: Error) =>
    /moved less than 64 KB/.test(`${error.message} ${String(error.cause)}`),
  )
})

test('slow transfers that progress are waited for: of a service, an upload and a download', async (t) => {
  const objects = memory()
  const slowly = async function* (bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of bytes) {
      await delay(100)
      yield piece
    }
  }
  const away: Service = {
    ...objects,
    upload: (key, body, options) => objects.upload(key, slowly(body), options),
    // Larger pieces than have to arrive in one stretch.
    download: async (key, options) => slowly(await objects.download(key, options)),
  }
  const { storage } = await storageWith(t, away)
  const { photo } = storage.record('User', 1)
  const bytes = Buffer.alloc(MEGABYTE / 2, 'x')
  await photo.attachLater({ io: bytes, filename: 'slow.bin' })
  assert.equal((await storage.drain({ throwOnError: true })).uploaded, 1)

  const sending = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, 1000)
    await delay(600)
    yield bytes.subarray(1000)
  }
  const checksum = createHash('md5').update(bytes).digest('base64')
  const bounded = limitService('away', away, readTimeouts(serviceTimeouts))
  await bounded.upload('key', sending(), { byteSize: bytes.length, checksum })
  let read = 0
  for await (const piece of await bounded.download('key')) {
    await delay(600)
    read += piece.length
  }
  assert.equal(read, bytes.length)
})

test('S3 parts are sent again after a short outage, and their completion is waited for', async (t) => {
  const requests: string[] = []
  const server = createHttpServer((request, response) => {
    const { searchParams } = new URL(request.url ?? '/', 'http://bucket')
    const what = `${request.method} ${searchParams.get('partNumber') ?? ''}`.trim()
    requests.push(what)
    const isFirst = requests.filter((each) => each === what).length === 1
    request.resume().on('end', () => {
      if (what === 'PUT 1' && isFirst) response.writeHead(503).end()
      else if (request.method === 'PUT') response.writeHead(200, { ETag: '"part"' }).end()
      else if (searchParams.has('uploads'))
        response.end(
          '<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>',
        )
      else setTimeout(() => response.end('<CompleteMultipartUploadResult/>'), 600)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => void server.close().closeAllConnections())
  const { port } = server.address() as AddressInfo
  const away = s3({
    bucket: 'bucket',
    endpoint: `http://127.0.0.1:${port}`,
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    multipartThreshold: '5 MB',
    partSize: '5 MB',
  })
  const { storage } = await storageWith(t, away)
  await storage
    .record('User', 1)
    .photo.attachLater({ io: Buffer.alloc(8 * MEGABYTE), filename: 'large.bin' })
  assert.equal((await storage.drain({ throwOnError: true })).uploaded, 1)
  assert.deepEqual(requests, ['POST', 'PUT 1', 'PUT 1', 'PUT 2', 'POST'])
})

atEach(
  databases,
  'objects stored after their call was abandoned are cleaned up, also after a purge',
  async (app) => {
    const landing = Promise.withResolvers<void>()
    const landed: Promise<void>[] = []
    let uploads = 0
    const service: Service = {
      ...app.service,
      async upload(key, body, options) {
        uploads += 1
        const bytes: Uint8Array[] = []
        for await (const piece of body) bytes.push(piece)
        const late = async (): Promise<void> => {
          await landing.promise
          await app.service.upload(key, Readable.from(bytes), {
            byteSize: options.byteSize,
            checksum: options.checksum,
          })
        }
        if (uploads > 1) return late()
        landed.push(late())
        await never()
      },
    }
    const storage = app.anotherWith(models, {
      serviceTimeouts,
      retries,
      services: { away: service, fine: service },
      service: 'fine',
    })
    const { photo } = storage.record('User', 1)
    await photo.attachLater(text('x'))
    assert.equal((await storage.drain()).retried, 1)
    const [first] = await app.query("select arguments from {jobs} where name = 'delete-object'")
    landing.resolve()
    await Promise.all(landed)
    await app.query('update {uploads} set run_at = 0')
    assert.equal((await storage.drain({ throwOnError: true })).uploaded, 1)
    await photo.purge()
    // It hung in the service all the while: what it stored has no blob, and its clean-up is still
    // to come.
    assert.equal(app.service.objects.size, 1)
    assert.deepEqual(await app.query("select arguments from {jobs} where name = 'delete-object'"), [
      first,
    ])
    await app.makeDue()
    await storage.drain()
    assert.equal(app.service.objects.size, 0)
  },
)

/**
 * Calls that hang during a worker's upload: each calls `hang`. `arm` is called when an upload
 * waits.
 */
interface Hanging {
  readonly options: object
  readonly database?: Database<never>
  arm?(): void
}

const queue = (members: Partial<JobEngine>): { jobs: JobEngine } => ({
  jobs: {
    name: 'a queue',
    transactional: false,
    enqueue: () => Promise.resolve(),
    work: () => Promise.resolve({ stop: () => Promise.resolve() }),
    ...members,
  },
})

const hangs: Readonly<Record<string, (hang: <T>() => Promise<T>) => Hanging>> = {
  'a service': (hang) => ({
    options: { services: { away: { ...deaf, upload: hang }, fine: memory() } },
  }),
  findRecord: (hang) => ({ options: { findRecord: { User: hang } } }),
  'a hook': (hang) => ({
    options: { models: { User: { photo: hasOneAttached({ afterUpload: hang }) } } },
  }),
  'the end of a queue': (hang) => ({
    options: queue({
      work() {
        void hang()
        return Promise.resolve({ stop: () => never() })
      },
    }),
  }),
  'the beginning of a queue': (hang) => ({ options: queue({ work: hang }) }),
  'the enqueue of a queue': (hang) => ({ options: queue({ enqueue: hang }) }),
  'the database': (hang) => {
    const made = sqlite(':memory:') as unknown as Database<never>
    let isAway = false
    const database: Database<never> = {
      ...made,
      executor: { run: (...given) => (isAway ? hang() : made.executor.run(...given)) },
      transaction: (run) => (isAway ? hang() : made.transaction(run)),
    }
    return { database, options: {}, arm: () => (isAway = true) }
  },
}

describe('whatever hangs', { concurrency: true }, () => {
  for (const [what, make] of Object.entries(hangs))
    test(`drain, stop and close end in time while ${what} hangs`, async () => {
      const reached = Promise.withResolvers<void>()
      const hang = <T>(): Promise<T> => {
        reached.resolve()
        return never()
      }
      const {
        options,
        arm,
        database = sqlite(':memory:') as unknown as Database<never>,
      } = make(hang)
      const services = { away: memory(), fine: memory() }
      const storage = storageOn(database, models, memory(), {
        services,
        service: 'fine',
        retries,
        ...options,
      })
      await storage.migrate()
      await storage.record('User', 1).photo.attachLater(text('x'))
      arm?.()
      const timed = async (run: () => Promise<unknown>): Promise<void> => {
        const started = performance.now()
        await run().catch((error: unknown) => assert.ok(error instanceof ServiceUnavailableError))
        const took = performance.now() - started
        assert.ok(took < 5_000, `${took} ms`)
      }
      const worker = storage.work()
      await reached.promise
      await Promise.all([
        timed(() => storage.drain({ timeout: '100ms' })),
        timed(() => worker.stop({ timeout: '100ms' })),
      ])
      await worker.done
      await timed(() => storage.close())
    })
})

for (const [how, enqueue] of Object.entries({
  'never responds': never<void>,
  'takes no message': () => Promise.reject(new Error('connection refused')),
}))
  test(`uploads run while a queue ${how}`, async (t) => {
    shortenTimers(t)
    const polled = Promise.withResolvers<void>()
    const photo = hasOneAttached({ afterUpload: () => polled.resolve() })
    const { storage } = await storageWith(t, memory(), {
      ...queue({ enqueue }),
      models: { User: { ...models.User, photo } },
    })
    const user = storage.record('User', 1)
    await storage.transaction((tx) =>
      storage.record('User', 1, { transaction: tx }).docs.attach(text('direct')),
    )
    await user.docs.whenAttached({ timeout: '2s' })
    await user.docs.attachLater(text('drained'))
    assert.equal((await storage.drain({ timeout: '2s' })).uploaded, 1)
    const worker = storage.work()
    await user.photo.attachLater(text('polled'))
    await polled.promise
    await worker.stop()
  })

const sqliteKind = kinds.find((kind) => kind.name === 'SQLite')!

test('a signal stops a transfer while its bytes arrive, and reaches the service', async (t) => {
  const app = await fresh(t, sqliteKind, { User: { photo: hasOneAttached() } })
  if (app === null) return
  const { blobs } = app.storage
  const folder = await mkdtemp(join(tmpdir(), 'signal-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  useTemporaryFolder(t, folder)
  const stopped = new AbortController()
  const never = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from('x')
    stopped.abort(new Error('enough'))
    await new Promise(() => undefined)
  }
  await assert.rejects(
    blobs.createAndUpload({ io: never(), filename: 'x' }, { signal: stopped.signal }),
    /enough/,
  )
  assert.equal(app.service.uploads, 0)
  assert.deepEqual(await readdir(folder), [])
  const gate = Promise.withResolvers<void>()
  app.service.gate = gate.promise
  const later = new AbortController()
  const transfer = blobs.createAndUpload(new File(['x'], 'x'), { signal: later.signal })
  later.abort(new Error('too late'))
  gate.resolve()
  await assert.rejects(transfer, /too late/)
  assert.equal(app.service.objects.size, 0)
})
