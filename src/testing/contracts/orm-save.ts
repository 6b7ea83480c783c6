import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import type { OrmBehaviour } from './orm-app.ts'
import { textFile } from './sample-files.ts'

/**
 * Behaviours of a save: a record and its files, the files alone, and files that are kept or were
 * staged before.
 */
export function testSave<Tx>(on: OrmBehaviour<Tx>): void {
  testWrites(on)
  testKeptFiles(on)
}

function testWrites<Tx>(on: OrmBehaviour<Tx>): void {
  on(
    'a record and its files are committed together, and each file is attached later with its own bytes',
    async ({ app, storage, service }) => {
      const bytes = randomBytes(700 * 1024)
      const stream = Readable.from([bytes.subarray(0, 1000), bytes.subarray(1000)])
      const id = await app.create('User', 'Ada', {
        photo: { io: stream, filename: 'ada.bin' },
        certificates: [textFile('one'), textFile('two')],
      })
      assert.deepEqual(await app.names('User'), ['Ada'])
      const user = storage.record('User', id)
      assert.equal((await user.photo.delayedUploads()).length, 1)
      assert.equal((await user.certificates.delayedUploads())[0]?.files.length, 2)
      await storage.drain({ throwOnError: true })
      assert.ok((await (await user.photo.attachment())?.download())?.equals(bytes))
      assert.deepEqual(
        (await user.certificates.attachments()).map(({ filename }) => filename),
        ['one.txt', 'two.txt'],
      )
      assert.equal(service.objects.size, 3)
    },
  )

  on(
    'a save that changes nothing but files works, alone and in a transaction',
    async ({ app, storage }) => {
      const id = await app.create('User', 'Ada', {})
      await app.save('User', id, { photo: textFile('alone') })
      await storage.drain({ throwOnError: true })
      await app.transaction((tx) =>
        app.save('User', id, { certificates: [textFile('within')] }, tx),
      )
      await storage.drain({ throwOnError: true })
      const user = storage.record('User', id)
      assert.equal((await user.photo.attachment())?.filename, 'alone.txt')
      assert.equal((await user.certificates.attachments())[0]?.filename, 'within.txt')
      const [first] = await user.certificates.attachments()
      await app.save('User', id, {
        certificates: { deletedIds: [first?.id ?? '0'], files: [textFile('instead')] },
      })
      await storage.drain({ throwOnError: true })
      assert.deepEqual(
        (await user.certificates.attachments()).map(({ filename }) => filename),
        ['instead.txt'],
      )
    },
  )
}

/** Behaviours of files that are known by a signed id. */
function testKeptFiles<Tx>(on: OrmBehaviour<Tx>): void {
  on(
    'files kept by their signed id stay beside new files, alone and in a transaction',
    async ({ app, storage }) => {
      const id = await app.create('User', 'Ada', {
        certificates: [textFile('contract'), textFile('old')],
      })
      await storage.drain({ throwOnError: true })
      const { certificates } = storage.record('User', id)
      const shown = async (): Promise<string[]> =>
        (await certificates.latest()).map(({ filename }) => filename)
      const [contract] = await certificates.attachments()
      const signedId = contract?.signedId ?? ''
      await app.save('User', id, {
        certificates: { files: [signedId, textFile('new')], cleanBefore: true },
      })
      assert.deepEqual(await shown(), ['contract.txt', 'new.txt'])
      await storage.drain({ throwOnError: true })
      assert.deepEqual(await shown(), ['contract.txt', 'new.txt'])
      await app.transaction((tx) =>
        app.save(
          'User',
          id,
          { certificates: { files: [textFile('newer'), signedId], cleanBefore: true } },
          tx,
        ),
      )
      await storage.drain({ throwOnError: true })
      assert.deepEqual(await shown(), ['contract.txt', 'newer.txt'])
    },
  )

  on('a staged file is submitted by its signed id, and only once', async ({ app, storage }) => {
    const staged = await storage.stage(textFile('staged'), { for: 'User.photo' })
    const id = await app.create('User', 'Ada', { photo: staged.signedId })
    await assert.rejects(app.create('User', 'Bob', { photo: staged.signedId }), {
      code: 'STAGED_FILE_ALREADY_USED',
    })
    assert.deepEqual(await app.names('User'), ['Ada'])
    await storage.drain({ throwOnError: true })
    assert.equal((await storage.record('User', id).photo.attachment())?.filename, 'staged.txt')
  })
}
