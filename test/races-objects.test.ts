// Races of objects and their deletion: due clean-ups, purges, and reused keys.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after } from 'node:test'
import { hasOneAttached } from '../src/index.ts'
import type { Service } from '../src/adapters.ts'
import {
  atEach,
  closeServers,
  databases,
  levels,
  type App,
  type Storage,
  type User,
} from './support/races.ts'
import { text } from './support/storage.ts'

after(closeServers)

const servers = databases.filter(({ dialect }) => dialect !== 'SQLite')
const refusal = (promise: Promise<unknown>): Promise<string | null> =>
  promise.then(
    () => null,
    (error: { code: string }) => error.code,
  )

/**
 * Retries are due after milliseconds here: a drain may end before. With one thing at a time, it
 * takes no clean-up meanwhile.
 */
async function untilDone(worker: Storage): Promise<void> {
  while ((await worker.drain({ concurrency: 1 })).remaining > 0);
}

/**
 * An upload that a worker has carried to the service and not attached yet, and whose clean-up is
 * due.
 */
async function cleanUpDueBeforeAttach(app: App, worker = app.another()) {
  await app.storage.record('User', 1).photo.attachLater(text('x'))
  const uploaded = app.hold('uploaded')
  const working = app.begin(() => untilDone(worker))
  await uploaded.reachedBy(working)
  await app.makeDue()
  return { uploaded, working }
}

async function attachedWithBytes(app: App): Promise<void> {
  await app.finishTidy()
  assert.deepEqual(await app.attached(1, 'photo'), ['x.txt'])
  assert.equal(
    (await (await app.storage.record('User', 1).photo.attachment())?.download())?.toString(),
    'x',
  )
}

atEach(
  databases,
  'a due clean-up is postponed while a live upload holds the object',
  async (app) => {
    const { uploaded, working } = await cleanUpDueBeforeAttach(app)
    await app.another().drain()
    assert.equal(app.service.objects.size, 1)
    assert.equal(
      (await app.query("select id from {jobs} where state = 'pending' and run_at > 0")).length,
      1,
    )
    uploaded.open()
    await working
    await attachedWithBytes(app)
    assert.equal(app.service.uploads, 1)
  },
)

atEach(databases, 'an upload does not attach an object whose clean-up has begun', async (app) => {
  const { uploaded, working } = await cleanUpDueBeforeAttach(app)
  const [old] = app.service.objects.keys()
  const cleaner = app.another()
  // It has seen that there is no blob, and not yet that there is an upload.
  const looking = cleaner.holdBefore(/^select f.id from files as f inner join/)
  const cleaning = app.begin(() => cleaner.drain())
  await looking.reachedBy(cleaning)
  uploaded.open()
  await working
  looking.open()
  await cleaning
  await attachedWithBytes(app)
  assert.equal(app.service.objects.has(old ?? ''), false)
})

atEach(
  databases,
  'a retry whose clean-up has begun takes another key, and the old object is deleted',
  async (app) => {
    await app.storage.record('User', 1).photo.attachLater(text('x'))
    app.service.failures = 1
    const stored = app.hold('uploaded')
    const failing = app.begin(() => app.another().drain({ concurrency: 1 }))
    await stored.reachedBy(failing)
    const [old] = app.service.objects.keys()
    await app.makeDue()
    const cleaner = app.another()
    const looking = cleaner.holdBefore(/^select f.id from files as f inner join/)
    const cleaning = app.begin(() => cleaner.drain())
    await looking.reachedBy(cleaning)
    stored.open()
    await failing
    await app.makeDue()
    await app.storage.drain()
    assert.deepEqual(await app.attached(1, 'photo'), ['x.txt'])
    looking.open()
    await cleaning
    await attachedWithBytes(app)
    assert.equal(app.service.objects.has(old ?? ''), false)
  },
)

atEach(
  databases,
  'a retry before its clean-up begins keeps its key and overwrites the object',
  async (app) => {
    await app.storage.record('User', 1).photo.attachLater(text('x'))
    app.service.failures = 1
    const stored = app.hold('uploaded')
    const working = app.begin(() => untilDone(app.another()))
    await stored.reachedBy(working)
    const [first] = app.service.objects.keys()
    // The retry stands in the middle of its transfer when the clean-up of the attempt before falls
    // due.
    const sending = app.hold('upload')
    stored.open()
    await sending.reachedBy(working)
    await app.makeDue()
    await app.another().drain()
    sending.open()
    await working
    await attachedWithBytes(app)
    assert.deepEqual([...app.service.objects.keys()], [first])
  },
)

atEach(
  servers,
  'a clean-up does not begin while a transaction is attaching the object',
  async (app) => {
    const worker = app.another()
    const { uploaded, working } = await cleanUpDueBeforeAttach(app, worker)
    const attaching = worker.holdAfter(/^delete from jobs/)
    uploaded.open()
    await attaching.reachedBy(working)
    const cleaning = await app.meanwhile(() => app.another().drain())
    attaching.open()
    await Promise.all([working, cleaning.done])
    await attachedWithBytes(app)
    assert.equal(app.service.uploads, 1)
  },
)

for (const what of ['attach', 'createAndUpload'] as const)
  atEach(
    databases,
    `${what}: an object that was cleaned up before its blob was written is refused`,
    async (app) => {
      const stored = app.hold('uploaded')
      const attaching = app.begin<unknown>(() =>
        what === 'attach'
          ? app.another().record('User', 1).photo.attach(text('x'))
          : app.another().blobs.createAndUpload(text('x')),
      )
      await stored.reachedBy(attaching)
      await app.makeDue()
      await app.storage.drain()
      stored.open()
      assert.notEqual(await refusal(attaching), null)
      await app.finishTidy()
      assert.deepEqual(await app.attached(1, 'photo'), [])
    },
  )

atEach(
  databases,
  'attach: an object that is stored after its clean-up is cleaned up again',
  async (app) => {
    const sending = app.hold('upload')
    const attaching = app.begin(() => app.another().record('User', 1).photo.attach(text('x')))
    await sending.reachedBy(attaching)
    await app.makeDue()
    await app.storage.drain()
    sending.open()
    assert.notEqual(await refusal(attaching), null)
    await app.finishTidy()
  },
)

for (const how of ['discard', 'purge'] as const)
  atEach(
    databases,
    `objects sent for an upload that is gone (${how}) are deleted when their clean-up is due`,
    async (app) => {
      const { uploaded, working } = await cleanUpDueBeforeAttach(app)
      const { photo } = app.storage.record('User', 1)
      if (how === 'purge') await photo.purge()
      else for (const upload of await photo.delayedUploads()) await upload.discard()
      uploaded.open()
      await working
      await app.finishTidy()
      assert.equal(app.service.objects.size, 0)
    },
  )

atEach(levels, 'a purge keeps a blob that an open transaction attaches elsewhere', async (app) => {
  const blob = await app.storage.blobs.createAndUpload(text('x'))
  const user = await app.open()
  await user.record(1).photo.attach(blob.signedId)
  const purging = app.begin(() => blob.purge())
  await app.waits(purging)
  await user.commit()
  await purging
  await attachedWithBytes(app)
})

atEach(levels, 'a blob purged after a transaction began is refused', async (app) => {
  const blob = await app.storage.blobs.createAndUpload(text('x'))
  let purging: { done: Promise<unknown> } | undefined
  const refused = await refusal(
    app.transaction(async (user) => {
      await user.read()
      purging ??= await app.meanwhile(() => blob.purge())
      await user.record(1).photo.attach(blob.signedId)
    }),
  )
  await purging?.done
  await app.finishTidy()
  // The attachment came first if the purge had to wait, and keeps the blob.
  assert.deepEqual(
    [refused, await app.attached(1, 'photo')],
    refused === null ? [null, ['x.txt']] : ['FILE_NOT_FOUND', []],
  )
})

atEach(
  levels,
  'a blob that is being purged is not attached: attach waits, and is refused',
  async (app) => {
    const blob = await app.storage.blobs.createAndUpload(text('x'))
    const other = app.another()
    const deleting = other.holdBefore(/^delete from blobs/)
    const purging = app.begin(async () => (await other.blobs.find(blob.id))?.purge())
    await deleting.reachedBy(purging)
    const attaching = app.begin(() =>
      app.transaction((user) => user.record(1).photo.attach(blob.signedId)),
    )
    await app.waits(attaching)
    deleting.open()
    await purging
    assert.equal(await refusal(attaching), 'FILE_NOT_FOUND')
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'photo'), [])
  },
)

for (const [what, purge] of [
  ['slot', (user: User) => user.record(2).photo.purge()],
  ['attachment', async (user: User) => (await user.record(2).photo.attachment())?.purge()],
] as const)
  atEach(
    levels,
    `a purge of the ${what} in a transaction keeps a blob attached elsewhere after it began`,
    async (app) => {
      const blob = await app.storage.blobs.createAndUpload(text('x'))
      await app.storage.record('User', 2).photo.attach(blob.signedId)
      let attaching: { done: Promise<unknown> } | undefined
      await app.transaction(async (user) => {
        await user.read(2)
        attaching ??= await app.meanwhile(() =>
          app.transaction((other) => other.record(1).photo.attach(blob.signedId)),
        )
        await purge(user)
      })
      // The blob was gone first if the attachment had to wait.
      const refused = await refusal(attaching?.done ?? Promise.resolve())
      if (refused === null) await attachedWithBytes(app)
      else assert.equal(refused, 'FILE_NOT_FOUND')
      await app.finishTidy()
      assert.deepEqual(await app.attached(2, 'photo'), [])
    },
  )

atEach(
  databases,
  'objects that a direct attach sent and could not attach are deleted at once',
  async (app) => {
    const { few } = app.storage.record('User', 1)
    await few.attach([text('a'), text('b')])
    assert.equal(await refusal(few.attach(text('c'))), 'TOO_MANY_FILES')
    assert.equal(app.service.objects.size, 3)
    await app.storage.drain()
    assert.equal(app.service.objects.size, 2)
    await app.finishTidy()
  },
)

atEach(
  databases,
  'a failed upload keeps its objects and key until retry or discard',
  async (app) => {
    app.service.failures = 3
    const upload = await app.storage.record('User', 1).photo.attachLater(text('x'))
    // The clean-up comes last, when the upload has failed.
    for (let attempt = 1; attempt <= 4; attempt += 1) {
      await app.makeDue()
      await app.storage.drain({ concurrency: 1 })
    }
    assert.equal((await app.storage.delayedUploads.stats()).failed, 1)
    const keys = [...app.service.objects.keys()]
    assert.equal(keys.length, 1)
    assert.equal((await app.query("select id from {jobs} where name = 'delete-object'")).length, 1)
    await upload?.retry()
    await app.storage.drain()
    assert.deepEqual(await app.attached(1, 'photo'), ['x.txt'])
    assert.deepEqual([...app.service.objects.keys()], keys)
    await app.finishTidy()
  },
)

const DAY = 86_400_000
const announced = {
  filename: 'a.txt',
  byteSize: 1,
  checksum: createHash('md5').update('x').digest('base64'),
  contentType: 'text/plain',
}

atEach(
  databases,
  'bytes that a browser sends after its blob was purged are deleted a day after its URL ended',
  async (app) => {
    const { blob } = await app.storage.blobs.createBeforeDirectUpload(announced)
    const late = (): Promise<void> =>
      app.service.upload(blob.key, [Buffer.from('x')] as never, announced)
    await late()
    await blob.purge()
    await app.storage.drain()
    assert.equal(app.service.objects.size, 0)
    // The service accepts bytes without notice while the URL is valid, and from a transfer that
    // began before.
    await late()
    await app.storage.drain()
    const [job] = await app.query('select run_at from {jobs}')
    const left = Number(job?.['run_at']) - Date.now()
    assert.ok(left > DAY + 240_000 && left < DAY + 360_000, `${left} ms`)
    await app.finishTidy()
    assert.equal(app.service.objects.size, 0)
  },
)

atEach(
  databases,
  'the clean-up of an announced file keeps it while attached; a later purge deletes it',
  async (app) => {
    const { photo } = app.storage.record('User', 1)
    const { blob } = await app.storage.blobs.createBeforeDirectUpload(announced)
    await app.service.upload(blob.key, [Buffer.from('x')] as never, announced)
    await photo.attach(blob)
    await app.finishTidy()
    assert.equal((await photo.attachment())?.filename, 'a.txt')
    await photo.purge()
    assert.equal(app.service.objects.size, 0)
    await app.finishTidy()
  },
)

for (const how of ['a worker that lost its lease', 'a direct attach that gave up'] as const)
  atEach(databases, `bytes that a service accepts late, from ${how}, are deleted`, async (app) => {
    const gate = Promise.withResolvers<void>()
    const sent = Promise.withResolvers<void>()
    const lateService: Service = {
      ...app.service,
      async upload(key, body, options) {
        const pieces: Uint8Array[] = []
        for await (const piece of body) pieces.push(piece)
        sent.resolve()
        await gate.promise
        await app.service.upload(key, pieces as never, options)
        throw new Error('the answer of the service was lost')
      },
    }
    const late = app.anotherWith({ User: { photo: hasOneAttached() } }, {}, lateService)
    const { photo } = app.storage.record('User', 1)
    if (how === 'a direct attach that gave up') {
      const attaching = app.begin(() => late.record('User', 1).photo.attach(text('x')))
      await sent.promise
      await app.makeDue()
      await app.storage.drain()
      gate.resolve()
      await assert.rejects(attaching)
    } else {
      await photo.attachLater(text('x'))
      const working = app.begin(() => late.drain({ concurrency: 1 }))
      await sent.promise
      await app.query('update {uploads} set lease_until = 0')
      await app.storage.drain()
      assert.deepEqual(await app.attached(1, 'photo'), ['x.txt'])
      await photo.purge()
      gate.resolve()
      await working
    }
    assert.equal(app.service.objects.size, 1)
    await app.finishTidy()
  })
