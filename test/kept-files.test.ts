// A form keeps has-many files by signed id; a submission never replaces files it names.
import assert from 'node:assert/strict'
import { after } from 'node:test'
import { hasManyAttached, hasOneAttached, ServiceError } from '../src/index.ts'
import type { Service } from '../src/adapters.ts'
import { closeDatabases } from './support/databases.ts'
import { createRefusingService } from './support/refusing-service.ts'
import { atEach, closeServers, databases, type App } from './support/races.ts'
import { text } from './support/storage.ts'

after(async () => {
  await closeServers()
  await closeDatabases()
})

const models = { User: { photo: hasOneAttached(), certificates: hasManyAttached() } }

/** `contract` and `old` are attached; how the two are named. */
async function twoAttached(app: App) {
  const user = app.storage.record('User', 1)
  const [contract, old] = await user.certificates.attach([text('contract'), text('old')])
  return { user, certificates: user.certificates, contract: contract!, old: old! }
}
const namesOf = (files: readonly { readonly filename: string }[]): string[] =>
  files.map(({ filename }) => filename)

atEach(
  databases,
  'a file that a cleanBefore submission names by its signed id stays, in any order',
  async (app) => {
    const { user, certificates, contract } = await twoAttached(app)
    // The same blob under another record and another name: its signed ids name the same file.
    await app.storage.record('User', 2).photo.attach(contract.signedId)
    const another = await app.storage.record('User', 2).photo.attachment()
    const ways: readonly (readonly [name: string, submit: (name: string) => Promise<unknown>])[] = [
      [
        'first',
        (name) =>
          certificates.attachLater({ files: [contract.signedId, text(name)], cleanBefore: true }),
      ],
      [
        'last',
        (name) =>
          certificates.attachLater({ files: [text(name), contract.signedId], cleanBefore: true }),
      ],
      [
        'twice',
        (name) =>
          certificates.attachLater({
            files: [contract.signedId, text(name), contract.blob],
            cleanBefore: true,
          }),
      ],
      [
        'elsewhere',
        (name) =>
          certificates.attachLater({ files: [another!.signedId, text(name)], cleanBefore: true }),
      ],
      [
        'form',
        (name) =>
          user.attachLater({
            certificates: { files: [contract.signedId, text(name)], cleanBefore: true },
          }),
      ],
      [
        'direct',
        (name) =>
          certificates.attach({ files: [text(name), contract.signedId], cleanBefore: true }),
      ],
      [
        'transaction',
        (name) =>
          app.storage.transaction((tx) =>
            app.storage
              .record('User', 1, { transaction: tx })
              .certificates.attach({ files: [contract.signedId, text(name)], cleanBefore: true }),
          ),
      ],
    ]
    for (const [name, submit] of ways) {
      await submit(name)
      assert.ok(namesOf(await certificates.latest()).includes('contract.txt'), name)
      await app.finishTidy()
      assert.deepEqual(await app.attached(1, 'certificates'), ['contract.txt', `${name}.txt`], name)
      const kept = (await certificates.attachments()).find(
        ({ filename }) => filename === 'contract.txt',
      )
      assert.equal(kept?.id, contract.id, `${name}: it is the same attachment`)
      assert.equal((await kept.download()).toString(), 'contract')
    }
    await certificates.attachLater({ files: [contract.signedId], cleanBefore: true })
    await app.finishTidy()
    assert.deepEqual(
      (await certificates.attachments()).map(({ id }) => id),
      [contract.id],
    )
  },
)

atEach(
  databases,
  'a retry keeps the files its submission named, and replaces the rest',
  async (app) => {
    const service = createRefusingService(app, { retryable: false })
    const storage = app.anotherWith(models, {}, service)
    const { contract, certificates } = await twoAttached(app)
    await storage
      .record('User', 1)
      .certificates.attachLater({ files: [contract.signedId, text('bad')], cleanBefore: true })
    await storage.drain()
    await certificates.attach(text('meanwhile'))
    service.down = false
    for (const _ of ['once', 'again']) {
      const [failed] = await storage.record('User', 1).certificates.delayedUploads()
      await failed!.retry()
    }
    await storage.drain({ throwOnError: true })
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'certificates'), ['contract.txt', 'bad.txt'])
  },
)

for (const isAttached of [false, true])
  atEach(
    databases,
    `a staged file submitted before and ${isAttached ? 'attached' : 'pending'} stays if named beside a new one`,
    async (app) => {
      const { certificates } = await twoAttached(app)
      const staged = await app.storage.stage(text('staged'))
      await certificates.attachLater([staged, text('beside it')])
      if (isAttached) await app.finishTidy()
      await certificates.attachLater({ files: [staged.signedId, text('new')], cleanBefore: true })
      await app.finishTidy()
      assert.deepEqual(await app.attached(1, 'certificates'), ['staged.txt', 'new.txt'])
    },
  )

atEach(
  databases,
  'of a failed upload, the file that a newer submission names waits for its retry',
  async (app) => {
    const service = createRefusingService(app, { retryable: false })
    const storage = app.anotherWith(models, {}, service)
    const { certificates } = storage.record('User', 1)
    const staged = await storage.stage(text('bad'))
    await certificates.attachLater([staged, text('sad'), text('attached before')])
    await storage.drain()
    await certificates.attachLater({ files: [staged.signedId, text('newer')], cleanBefore: true })
    await storage.drain()
    assert.deepEqual(await app.attached(1, 'certificates'), ['newer.txt'])
    const [failed] = await certificates.delayedUploads()
    assert.deepEqual(
      [failed?.state, namesOf(failed?.files.filter(({ state }) => state === 'failed') ?? [])],
      ['failed', ['bad.txt']],
    )
    service.down = false
    await failed!.retry()
    await storage.drain({ throwOnError: true })
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'certificates'), ['newer.txt', 'bad.txt'])
  },
)

for (const [when, drains] of [
  ['before the newer one begins', { before: false, after: true }],
  ['when the newer one is attached', { before: true, after: true }],
  ['while the newer one waits for its own retry', { before: true, after: false }],
] as const)
  atEach(
    databases,
    `files named beside a file of an older upload stay, when that is retried ${when}`,
    async (app) => {
      const down = new Set(['bad', 'other'])
      const service: Service = {
        ...app.service,
        async upload(...[key, body, options]) {
          const name = [...down].find(({ length }) => length === options.byteSize)
          if (name !== undefined)
            throw Object.assign(new ServiceError('it is refused'), { retryable: name !== 'bad' })
          await app.service.upload(key, body, options)
        },
      }
      if (drains.after) down.delete('other')
      const storage = app.anotherWith(
        models,
        { retries: { minDelay: '1h', maxDelay: '1h' } },
        service,
      )
      const { contract } = await twoAttached(app)
      const { certificates } = storage.record('User', 1)
      const staged = await storage.stage(text('bad'))
      await certificates.attachLater({ files: [staged], cleanBefore: true })
      await storage.drain()
      await certificates.attachLater({
        files: [contract.signedId, staged.signedId, text('other')],
        cleanBefore: true,
      })
      if (drains.before) await storage.drain()
      down.delete('bad')
      const older = (await certificates.delayedUploads()).find(({ state }) => state === 'failed')
      await older!.retry()
      await storage.drain()
      down.clear()
      await app.makeDue()
      await storage.drain({ throwOnError: true })
      await app.finishTidy()
      assert.deepEqual((await app.attached(1, 'certificates')).toSorted(), [
        'bad.txt',
        'contract.txt',
        'other.txt',
      ])
    },
  )

atEach(
  databases,
  'an older upload that still waits does not remove files that a newer submission names',
  async (app) => {
    const { certificates, contract } = await twoAttached(app)
    await certificates.attachLater({ files: [text('older')], cleanBefore: true })
    await certificates.attachLater([contract.signedId, text('younger')])
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'certificates'), [
      'contract.txt',
      'older.txt',
      'younger.txt',
    ])
  },
)

atEach(databases, 'files kept by their signed ids count for maxFiles', async (app) => {
  const storage = app.anotherWith({ User: { certificates: hasManyAttached({ maxFiles: 2 }) } })
  const { contract, old } = await twoAttached(app)
  const { certificates } = storage.record('User', 1)
  const tooMany = { code: 'TOO_MANY_FILES' }
  await assert.rejects(
    certificates.attachLater({
      files: [contract.signedId, text('a'), text('b')],
      cleanBefore: true,
    }),
    tooMany,
  )
  await assert.rejects(
    certificates.attachLater({ files: [contract.signedId, text('a')], deletedIds: [contract.id] }),
    tooMany,
  )
  await certificates.attachLater({ files: [contract.signedId, text('a')], deletedIds: [old.id] })
  await app.finishTidy()
  assert.deepEqual(await app.attached(1, 'certificates'), ['contract.txt', 'a.txt'])
})

atEach(
  databases,
  'an older row of the gem does not remove files that a newer submission kept',
  async (app) => {
    const { certificates, contract } = await twoAttached(app)
    await app.query(
      `insert into {uploads} (uploadable_type, uploadable_id, attr_name, deleted_ids, clean_before, files, created_at, updated_at) values ('User', 1, 'certificates', '', true, '[{"io":"Z2Vt","filename":"gem.txt"}]', '2020-01-01 00:00:00', '2020-01-01 00:00:00')`,
    )
    await certificates.attachLater({
      files: [contract.signedId, text('younger')],
      cleanBefore: true,
    })
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'certificates'), ['contract.txt', 'younger.txt'])
  },
)
