import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { memory } from '../src/services/memory.ts'
import { closeDatabases } from './support/databases.ts'
import { networkServers, openUrl, sqliteServer } from './support/servers.ts'
import {
  MB,
  sortedNames,
  createServerStorage,
  openServerApp,
  endLeases,
  expire,
  finish,
  generatePieces,
  startWorkerProcess,
} from './support/server-app.ts'

after(() => closeDatabases())

for (const kind of networkServers)
  describe(`${kind.name} drops its connections`, { concurrency: 3 }, () => {
    test('during staging: acknowledged files are uploaded, the rest leaves nothing', async (t) => {
      const app = await openServerApp(t, kind)
      if (app === null) return
      const { storage, server } = app
      const { docs } = storage.record('User', 1)
      const acknowledged: string[] = []
      const submit = async (filename: string, at?: (index: number) => unknown): Promise<void> => {
        await docs.attachLater({ io: generatePieces(8, at), filename }).then(
          () => acknowledged.push(filename),
          () => undefined,
        )
      }
      // Waited for, the idle connections are gone; not waited for, those in the middle of an
      // insert.
      await submit('between.txt', (index) => (index === 3 ? server.cut() : undefined))
      const cutting: Promise<number>[] = []
      await submit('during.txt', (index) => void (index === 3 && cutting.push(server.cut())))
      await Promise.all(cutting)
      // The pool may not have noticed yet, of each of its connections.
      while (!acknowledged.includes('after.txt')) await submit('after.txt')
      await finish(app)
      assert.deepEqual(sortedNames(await docs.attachments()), acknowledged.toSorted())
      for (const attachment of await docs.attachments()) assert.equal(attachment.byteSize, 8 * MB)
      await expire(app)
      await storage.sweep()
      assert.equal(await app.count('chunks'), 0)
    })

    test("during the user's transaction: it is rolled back as a whole, and the next one works", async (t) => {
      const app = await openServerApp(t, kind)
      if (app === null) return
      const { storage, server } = app
      const broken = storage.transaction(async (tx) => {
        await storage.record('User', 1, { transaction: tx }).docs.attachLater({
          io: generatePieces(4, (index) => (index === 1 ? server.cut() : undefined)),
          filename: 'a.txt',
        })
      })
      await assert.rejects(broken)
      assert.equal(await app.count('chunks'), 0)
      await storage.transaction(async (tx) => {
        await storage
          .record('User', 1, { transaction: tx })
          .docs.attachLater({ io: generatePieces(1), filename: 'b.txt' })
      })
      await finish(app)
      assert.deepEqual(sortedNames(await storage.record('User', 1).docs.attachments()), ['b.txt'])
    })

    test('during an upload: the file arrives once', async (t) => {
      const files = memory()
      let cuts = 0
      const app = await openServerApp(t, kind, ({ cut }) => ({
        service: {
          ...files,
          upload(key, body, options) {
            const cutting = async function* (): AsyncGenerator<Uint8Array> {
              const going: Promise<number>[] = []
              for await (const chunk of body) {
                yield chunk
                if (cuts === 0 && (cuts += 1) === 1) await cut()
                else if (cuts === 1 && (cuts += 1) === 2) going.push(cut())
              }
              await Promise.all(going)
            }
            return files.upload(key, cutting(), options)
          },
        },
      }))
      if (app === null) return
      const { photo } = app.storage.record('User', 1)
      await photo.attachLater({ io: generatePieces(20), filename: 'large.txt' })
      await app.storage.drain().catch(() => undefined)
      await endLeases(app)
      await finish(app)
      assert.equal(cuts, 2)
      assert.equal((await photo.attachment())?.byteSize, 20 * MB)
      assert.equal(files.objects.size, 1)
    })

    test('of a listening worker: it reconnects, and hears submissions of another process', async (t) => {
      let uploaded = Promise.withResolvers<void>()
      const app = await openServerApp(t, kind, { afterUploadAll: () => uploaded.resolve() })
      if (app === null) return
      const other = createServerStorage(openUrl(app.server.url))
      t.after(() => other.close())
      const worker = app.storage.work()
      await app.storage
        .record('User', 1)
        .docs.attachLater({ io: generatePieces(1), filename: '0.txt' })
      await uploaded.promise
      assert.ok((await app.server.cut()) > 0)
      for (const filename of ['1.txt', '2.txt']) {
        uploaded = Promise.withResolvers()
        // The first of its calls may meet a connection that has ended; then nothing was
        // acknowledged.
        const submit = () =>
          other.record('User', 1).docs.attachLater({ io: generatePieces(1), filename })
        await submit().catch(submit)
        await uploaded.promise
      }
      await worker.stop()
      assert.deepEqual(sortedNames(await app.storage.record('User', 1).docs.attachments()), [
        '0.txt',
        '1.txt',
        '2.txt',
      ])
    })

    test('repeatedly, while a worker works: every acknowledged file arrives once', async (t) => {
      const files = memory()
      const app = await openServerApp(t, kind, { service: files })
      if (app === null) return
      const { storage, server } = app
      const worker = storage.work()
      const acknowledged: string[] = []
      let submitting = true
      const storm = (async () => {
        for (let round = 0; submitting && round < 100; round += 1) {
          await server.cut()
          await delay(Math.random() * 30)
        }
      })()
      for (let index = 0; index < 40; index += 1)
        await storage
          .record('User', index % 4)
          .docs.attachLater({ io: generatePieces(1), filename: `${index}.txt` })
          .then(
            (upload) => acknowledged.push(upload?.files[0]?.filename ?? ''),
            () => undefined,
          )
      submitting = false
      await storm
      const submitLast = () =>
        storage.record('User', 0).docs.attachLater({ io: generatePieces(1), filename: 'last.txt' })
      // Each connection of the pool may be one that was cut.
      for (let left = 12; ; left -= 1) {
        const error = await submitLast().then(
          () => null,
          (thrown: unknown) => thrown,
        )
        if (error === null) break
        if (left === 0) throw error
      }
      acknowledged.push('last.txt')
      await worker.stop({ timeout: '100ms' })
      await endLeases(app)
      await finish(app)
      const attached = await Promise.all(
        [0, 1, 2, 3].map((id) => storage.record('User', id).docs.attachments()),
      )
      const arrived = sortedNames(attached.flat())
      // One whose acknowledgement was lost on the way back may have been committed all the same.
      assert.deepEqual(
        acknowledged.filter((name) => !arrived.includes(name)),
        [],
      )
      assert.equal(new Set(arrived).size, arrived.length)
      assert.ok(files.objects.size >= arrived.length)
    })
  })

test('a database that is gone after the claim: drain rejects, and the process survives', async (t) => {
  const app = await openServerApp(t, sqliteServer)
  if (app === null) return
  for (let id = 1; id < 4; id += 1)
    await app.storage
      .record('User', id)
      .photo.attachLater({ io: Buffer.from('x'), filename: 'x.txt' })
  const ended = await startWorkerProcess(
    'lost database',
    app.server.url,
    join(app.folder, 'objects'),
  )
  assert.deepEqual(
    { code: ended.code, lines: ended.lines },
    { code: 0, lines: ['drain: The database is gone.'] },
  )
  await endLeases(app)
  await finish(app)
  assert.equal(await app.count('active_storage_attachments'), 3)
})
