// Direct changes: effects of attach, detach and purge on pending and attached files.
import assert from 'node:assert/strict'
import { after } from 'node:test'
import { hasManyAttached, hasOneAttached, ServiceError } from '../src/index.ts'
import type { Service } from '../src/adapters.ts'
import { atEach, closeServers, databases, type App } from './support/races.ts'
import { text } from './support/storage.ts'

after(closeServers)

const count = async (app: App, sql: string): Promise<number> =>
  Number((await app.query(`select count(*) as n from ${sql}`))[0]?.['n'])

/** Makes all waiting work due, also rounds of hooks. */
async function allDue(app: App): Promise<void> {
  await app.makeDue()
  await app.query('update {uploads} set run_at = 0')
}

/** Attachments whose hooks throw as long as they are told to, and what else they told. */
function telling() {
  const told: string[] = []
  const hooks = {
    down: true,
    told,
    afterUpload(_record: unknown, file: { filename: string }) {
      if (hooks.down) throw new Error('the mail server is down')
      told.push(file.filename)
    },
    afterUploadAll() {
      told.push('all')
    },
  }
  const { afterUpload, afterUploadAll } = hooks
  return {
    hooks,
    models: {
      User: {
        photo: hasOneAttached({ afterUpload, afterUploadAll }),
        docs: hasManyAttached({ afterUpload, afterUploadAll }),
      },
    },
  }
}

const changes = {
  'a direct attach': (slot: { attach(file: File): Promise<unknown> }) =>
    slot.attach(text('second')),
  detach: (slot: { detach(): Promise<void> }) => slot.detach(),
  purge: (slot: { purge(): Promise<void> }) => slot.purge(),
  'the purge of the attachment': async (
    _slot: unknown,
    attachment: { purge(): Promise<void> } | undefined,
  ) => attachment?.purge(),
}
for (const [what, change] of Object.entries(changes))
  atEach(
    databases,
    `hooks of an attached file run after ${what}, of a has-one and of a has-many`,
    async (app) => {
      const { hooks, models } = telling()
      const storage = app.anotherWith(models)
      for (const name of ['photo', 'docs'] as const) {
        Object.assign(hooks, { down: true })
        hooks.told.length = 0
        const slot = storage.record('User', 1)[name]
        await slot.attachLater(text('first'))
        await storage.drain()
        assert.deepEqual(await app.attached(1, name), ['first.txt'])
        hooks.down = false
        const { photo, docs } = storage.record('User', 1)
        const attachment =
          name === 'photo' ? await photo.attachment() : (await docs.attachments())[0]
        await change(slot as never, attachment as never)
        await allDue(app)
        await storage.drain()
        assert.deepEqual(hooks.told, ['first.txt', 'all'], name)
      }
      await app.finish()
    },
  )

for (const verb of ['purge', 'detach', 'attach'] as const)
  atEach(
    databases,
    `${verb} inside afterUpload does not keep afterUploadAll from running`,
    async (app) => {
      const told: string[] = []
      const { photo } = app.storage.record('User', 1)
      const definition = hasOneAttached({
        async afterUpload() {
          told.push('afterUpload')
          await (verb === 'attach' ? photo.attach(text('inside')) : photo[verb]())
        },
        afterUploadAll: () => void told.push('afterUploadAll'),
      })
      await photo.attachLater(text('x'))
      await app.anotherWith({ User: { photo: definition } }).drain()
      assert.deepEqual(told, ['afterUpload', 'afterUploadAll'])
      assert.deepEqual(await app.attached(1, 'photo'), verb === 'attach' ? ['inside.txt'] : [])
    },
  )

atEach(
  databases,
  'uploads submitted to a has-many that became a has-one attach to it and replace',
  async (app) => {
    const before = app.anotherWith({ User: { photo: hasManyAttached() } })
    const { photo } = before.record('User', 1)
    await photo.attach([text('oldest'), text('old')])
    for (const name of ['newer', 'newest']) await photo.attachLater(text(name))
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'photo'), ['newest.txt'])
  },
)

atEach(
  databases,
  'attach of a signed id returns the content type and metadata from the bytes',
  async (app) => {
    const blob = await app.storage.blobs.createAndUpload(
      text('<html><script>alert(1)</script></html>', 'x.png'),
    )
    // A browser's own upload leaves the blob like this.
    await app.query("update {blobs} set content_type = 'image/png', metadata = null")
    for (const name of ['photo', 'certificates'] as const) {
      const slot = app.storage.record('User', 1)[name]
      const answer = [await slot.attach(blob.signedId)].flat()[0]
      assert.deepEqual(
        [answer?.contentType, answer?.blob.metadata['identified']],
        ['text/html', true],
      )
      const read = await app.storage.blobs.find(blob.id)
      assert.deepEqual(
        [read?.contentType, read?.metadata],
        [answer?.blob.contentType, answer?.blob.metadata],
      )
      await slot.detach()
      await app.query("update {blobs} set content_type = 'image/png', metadata = null")
    }
  },
)

/** Inserts a row as the Ruby gem writes it, before the gem's job has run. */
async function gemRow(app: App, name: string): Promise<void> {
  const files = JSON.stringify([
    {
      io: Buffer.from('of the gem').toString('base64'),
      filename: `${name}-gem.txt`,
      content_type: 'text/plain',
    },
  ])
  await app.query(
    `insert into {uploads} (uploadable_type, uploadable_id, attr_name, files, created_at, updated_at) values ('User', 1, '${name}', '${files}', '2020-01-01 00:00:00', '2020-01-01 00:00:00')`,
  )
}

atEach(
  databases,
  "attach, purge and purgeAllLater end the gem's own rows of the attachment, and no others",
  async (app) => {
    const { storage } = app
    const user = storage.record('User', 1)
    await gemRow(app, 'photo')
    await gemRow(app, 'cover')
    await user.photo.attach(text('newer'))
    await app.finish()
    assert.deepEqual(await app.attached(1, 'photo'), ['newer.txt'])
    // It would have been moved: the one beside it was.
    assert.deepEqual(await app.attached(1, 'cover'), ['cover-gem.txt'])

    await gemRow(app, 'photo')
    await gemRow(app, 'certificates')
    await user.photo.purge()
    await app.finish()
    assert.deepEqual(await app.attached(1, 'photo'), [])
    assert.deepEqual(await app.attached(1, 'certificates'), ['certificates-gem.txt'])

    for (const name of ['photo', 'certificates']) await gemRow(app, name)
    await user.purgeAllLater()
    await app.finishTidy()
    for (const name of ['photo', 'cover', 'certificates'])
      assert.deepEqual(await app.attached(1, name), [])
  },
)

atEach(
  databases,
  'a staged file is attached at once outside a transaction, and its bytes are deleted',
  async (app) => {
    const { storage } = app
    const { photo, cover, certificates, few } = storage.record('User', 1)
    const staged = await storage.stage(text('x'))
    const attachment = await photo.attach(staged)
    assert.equal(attachment?.filename, 'x.txt')
    assert.equal(await attachment.download().then(String), 'x')
    assert.deepEqual(await app.attached(1, 'photo'), ['x.txt'])
    assert.deepEqual(
      [await count(app, '{chunks}'), await count(app, '{uploads}'), await count(app, '{jobs}')],
      [0, 0, 0],
    )

    for (const how of ['attach', 'attachLater'] as const) {
      assert.equal(await photo[how](staged), null, how)
      for (const other of [cover, certificates, storage.record('User', 2).photo])
        await assert.rejects(other[how](staged), { code: 'STAGED_FILE_ALREADY_USED' })
    }
    assert.equal((await photo.attachment())?.id, attachment.id)

    const many = await Promise.all(['a', 'b'].map((name) => storage.stage(text(name))))
    assert.deepEqual(
      (await certificates.attach(many)).map(({ filename }) => filename),
      ['a.txt', 'b.txt'],
    )
    assert.deepEqual(await certificates.attach(many), [])
    // A list of attached and new files adds the new one.
    const next = await storage.stage(text('c'))
    assert.deepEqual(
      (await certificates.attach([...many, next])).map(({ filename }) => filename),
      ['c.txt'],
    )
    assert.deepEqual(await app.attached(1, 'certificates'), ['a.txt', 'b.txt', 'c.txt'])
    await few.attach(await storage.stage(text('d')))
    await app.finishTidy()
    assert.equal(app.service.objects.size, 5)
  },
)

atEach(databases, 'an expired staged file is not attached, and leaves no object', async (app) => {
  const { storage } = app
  const staged = await storage.stage(text('x'))
  await app.query('update {files} set expires_at = 1')
  await assert.rejects(storage.record('User', 1).photo.attach(staged), {
    code: 'STAGED_FILE_EXPIRED',
  })
  assert.deepEqual(await app.attached(1, 'photo'), [])
  await app.finishTidy()
  assert.equal(app.service.objects.size, 0)
})

for (const verb of ['purge', 'purgeLater', 'detach'] as const)
  atEach(
    databases,
    `${verb} drops pending files only for the current attachment of a has-one`,
    async (app) => {
      const { photo } = app.storage.record('User', 1)
      const stale = await photo.attach(text('stale'))
      const current = await photo.attach(text('current'))
      await photo.attachLater(text('pending'))
      await stale?.[verb]()
      assert.equal((await photo.delayedUploads()).length, 1)
      assert.deepEqual(await app.attached(1, 'photo'), ['current.txt'])
      await current?.[verb]()
      assert.deepEqual(await photo.delayedUploads(), [])
      await app.finish()
      assert.deepEqual(await app.attached(1, 'photo'), [])
    },
  )

atEach(
  databases,
  'the purge of one attachment of a has-many leaves pending files alone',
  async (app) => {
    const { certificates } = app.storage.record('User', 1)
    const [first] = await certificates.attach(text('first'))
    await certificates.attachLater(text('pending'))
    await first?.purge()
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'certificates'), ['pending.txt'])
  },
)

/** Returns the calls that purge, each by its own verb. */
async function purges(storage: App['storage']): Promise<Record<string, () => Promise<void>>> {
  const { photo, cover, certificates } = storage.record('User', 1)
  await cover.attach(text('of the slot'))
  await certificates.attach([text('of the slot, one'), text('of the slot, two')])
  const attachment = await photo.attach(text('of the attachment'))
  const blob = await storage.blobs.createAndUpload(text('of the blob'))
  return {
    attachment: async () => attachment?.purge(),
    'has-one': () => cover.purge(),
    'has-many': () => certificates.purge(),
    blob: () => blob.purge(),
  }
}

atEach(
  databases,
  "purge deletes the object before it returns: of an attachment, a record's files or a blob",
  async (app) => {
    const all = await purges(app.storage)
    let left = 5
    assert.equal(app.service.objects.size, left)
    for (const [what, purge] of Object.entries(all)) {
      await purge()
      left -= what === 'has-many' ? 2 : 1
      assert.deepEqual(
        [app.service.objects.size, await count(app, '{blobs}'), await count(app, '{jobs}')],
        [left, left, 0],
        what,
      )
    }
  },
)

atEach(
  databases,
  'purge resolves when the service cannot delete; a worker deletes the object later',
  async (app) => {
    let down = true
    const service: Service = {
      ...app.service,
      delete: (key, options) =>
        down
          ? Promise.reject(new ServiceError('the service is down'))
          : app.service.delete(key, options),
    }
    const storage = app.anotherWith(
      {
        User: { photo: hasOneAttached(), cover: hasOneAttached(), certificates: hasManyAttached() },
      },
      {},
      service,
    )
    for (const purge of Object.values(await purges(storage as unknown as App['storage'])))
      await purge()
    assert.deepEqual(
      [app.service.objects.size, await count(app, '{blobs}'), await count(app, '{jobs}')],
      [5, 0, 5],
    )
    down = false
    await app.makeDue()
    await storage.drain()
    assert.deepEqual([app.service.objects.size, await count(app, '{jobs}')], [0, 0])
  },
)

atEach(
  databases,
  'of files submitted to a has-many that became a has-one, the last one stays',
  async (app) => {
    const { photo } = app.anotherWith({ User: { photo: hasManyAttached() } }).record('User', 1)
    await photo.attach([text('oldest'), text('old')])
    await photo.attachLater([text('newer'), text('newest')])
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'photo'), ['newest.txt'])
  },
)
