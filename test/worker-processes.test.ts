import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { closeDatabases } from './support/databases.ts'
import { networkServers, sqliteServer } from './support/servers.ts'
import {
  MB,
  sortedNames,
  openServerApp,
  endLeases,
  generatePieces,
  startWorkerProcess,
  listFiles,
  serverKinds,
} from './support/server-app.ts'

after(() => closeDatabases())

// Each starts several processes, one after the other; together they use all processors.
describe('workers in separate processes', { concurrency: 3 }, () => {
  for (const kind of serverKinds) {
    test(`${kind.name}: a worker that stops releases its upload uncounted; another one finishes it`, async (t) => {
      const app = await openServerApp(t, kind)
      if (app === null) return
      const root = join(app.folder, 'objects')
      const { photo } = app.storage.record('User', 1)
      await photo.attachLater({ io: generatePieces(8), filename: 'slow.txt' })
      let told = false
      const ended = await startWorkerProcess('slow', app.server.url, root, (line, kill) => {
        if (line === 'sending' && !told) {
          told = true
          kill('SIGTERM')
        }
      })
      assert.deepEqual(
        { code: ended.code, signal: ended.signal, last: ended.lines.at(-1) },
        { code: 0, signal: null, last: 'stopped' },
      )
      const [upload] = await photo.delayedUploads()
      assert.deepEqual(
        { state: upload?.state, attempts: upload?.attempts, lastError: upload?.lastError },
        { state: 'pending', attempts: 0, lastError: null },
      )
      assert.deepEqual(await listFiles(root), [])
      assert.equal(await app.count('workers'), 0)
      const other = await startWorkerProcess('plain', app.server.url, root)
      assert.equal(other.code, 0)
      assert.equal(await app.count('active_storage_attachments'), 1)
      assert.equal((await photo.attachment())?.byteSize, 8 * MB)
      assert.equal((await listFiles(root)).length, 1)
    })

    // Three processes each: the rounds are counted by statements that all databases share.
    for (const mode of kind === sqliteServer ? (['hook', 'part fails'] as const) : [])
      test(`${kind.name}: a hook that kills its process has 3 rounds${mode === 'hook' ? '' : ', also where another file has failed'}`, async (t) => {
        const app = await openServerApp(t, kind)
        if (app === null) return
        const { docs } = app.storage.record('User', 1)
        await docs.attachLater([
          { io: Buffer.from('aa'), filename: 'a.txt' },
          ...(mode === 'hook' ? [] : [{ io: Buffer.from('b'), filename: 'b.txt' }]),
        ])
        const signals: (string | null)[] = []
        for (let round = 0; round < 5; round += 1) {
          const { signal } = await startWorkerProcess(
            mode,
            app.server.url,
            join(app.folder, 'objects'),
          )
          signals.push(signal)
          if (signal === null) break
          await endLeases(app)
        }
        if (mode === 'hook') assert.deepEqual(signals, ['SIGKILL', 'SIGKILL', 'SIGKILL', null])
        assert.equal(signals.at(-1), null, 'The hook is told again and again.')
        assert.deepEqual(sortedNames(await docs.attachments()), ['a.txt'])
        const left = await docs.delayedUploads()
        const states = left.map((upload) => [
          upload.state,
          ...upload.files.map((file) => file.state),
        ])
        // A failed upload waits for a manual retry.
        assert.deepEqual(states, mode === 'hook' ? [] : [['failed', 'attached', 'failed']])
        assert.equal(await app.count('uploads'), mode === 'hook' ? 0 : 1)
      })
  }

  // One that locks rows, and one that locks the file.
  for (const kind of [sqliteServer, ...networkServers.slice(-1)])
    test(`${kind.name}: an image that kills its process fails after the usual attempts`, async (t) => {
      const app = await openServerApp(t, kind)
      if (app === null) return
      await app.storage
        .record('User', 1)
        .avatar.attachLater({ io: generatePieces(1), filename: 'bomb.png' })
      const ends: string[] = []
      for (let round = 0; round < 6; round += 1) {
        const { lines, signal } = await startWorkerProcess(
          'plain',
          app.server.url,
          join(app.folder, 'objects'),
        )
        ends.push(`${lines.join()} ${signal ?? 'alive'}`)
        if (signal === null) break
        await endLeases(app)
      }
      assert.deepEqual(ends, [
        'transform SIGKILL',
        'transform SIGKILL',
        'transform SIGKILL',
        ' alive',
      ])
      const [upload] = await app.storage.record('User', 1).avatar.delayedUploads()
      assert.equal(upload?.state, 'failed')
      assert.match(upload.lastError ?? '', /worker died in each of 3 attempts/)
      assert.equal(upload.files[0]?.state, 'failed')
      assert.equal((await upload.files[0].download()).length, MB)
    })
})
