// Races on one lane: workers, submissions, direct attaches, deletions and manual calls.
import assert from 'node:assert/strict'
import { after } from 'node:test'
import { hasOneAttached } from '../src/index.ts'
import { atEach, closeServers, databases, levels, type App, type User } from './support/races.ts'
import { text } from './support/storage.ts'

after(closeServers)

/** An upload that a worker has carried to the service and not attached yet. */
async function betweenUploadAndAttach(
  app: App,
  name: 'photo' | 'certificates' = 'photo',
): Promise<{ finish(): Promise<void>; working: Promise<unknown>; release(): void }> {
  await app.storage.record('User', 1)[name].attachLater(text('older'))
  const uploaded = app.hold('uploaded')
  const worker = app.another()
  const working = app.begin(() => worker.drain())
  await uploaded.reachedBy(working)
  return {
    working,
    release: uploaded.open,
    async finish() {
      uploaded.open()
      await working
    },
  }
}

type Action = (user: User) => Promise<unknown>

/** The three ways in which a transaction can meet a worker that is about to attach. */
const meetings: Readonly<Record<string, (app: App, act: Action) => Promise<void>>> = {
  'before the worker attaches': async (app, act) => {
    const worker = await betweenUploadAndAttach(app)
    await app.transaction(act)
    await worker.finish()
  },
  'while the worker waits for its lane': async (app, act) => {
    const worker = await betweenUploadAndAttach(app)
    const user = await app.open()
    await act(user)
    worker.release()
    await app.waits(worker.working)
    await user.commit()
    await worker.working
  },
  'in a transaction that saw the lane before the worker attached': async (app, act) => {
    const worker = await betweenUploadAndAttach(app)
    let attaching: { done: Promise<unknown> } | undefined
    await app.transaction(async (user) => {
      await user.read()
      attaching ??= await app.meanwhile(() => worker.finish())
      await act(user)
    })
    await attaching?.done
  },
}

const names = ['photo', 'cover', 'certificates', 'few'] as const
async function everything(app: App): Promise<string[]> {
  const all: string[] = []
  for (const name of names) all.push(...(await app.attached(1, name)))
  return all
}

for (const [when, meet] of Object.entries(meetings)) {
  atEach(levels, `a submission ${when} wins`, async (app) => {
    await meet(app, (user) => user.record(1).photo.attachLater(text('younger')))
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'photo'), ['younger.txt'])
  })

  atEach(levels, `a direct attach ${when} stays`, async (app) => {
    const blob = await app.storage.blobs.createAndUpload(text('direct'))
    await meet(app, (user) => user.record(1).photo.attach(blob.signedId))
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'photo'), ['direct.txt'])
  })

  // The calls read in the transaction what they remove. All four are tested if the transaction may
  // be older than the worker's change.
  for (const how of when.includes('saw')
    ? (['detach', 'purge', 'purgeLater', 'purgeAllLater'] as const)
    : (['purge'] as const))
    atEach(levels, `${how} ${when} leaves nothing`, async (app) => {
      await meet(app, (user) =>
        how === 'purgeAllLater' ? user.record(1).purgeAllLater() : user.record(1).photo[how](),
      )
      // Detached blobs are the app's to keep.
      await (how === 'detach' ? app.finish() : app.finishTidy())
      assert.deepEqual(await everything(app), [])
    })
}

atEach(
  levels,
  'purgeAllLater waits for submissions to a name that is not defined any more',
  async (app) => {
    await app.storage.record('User', 1).few.attach(text('attached'))
    const later = app.anotherWith({ User: { photo: hasOneAttached() } })
    const user = await app.open()
    await user.record(1).few.attachLater(text('submitted'))
    const purging = app.begin(() => later.record('User', 1).purgeAllLater())
    await app.waits(purging)
    await user.commit()
    await purging
    await app.finishTidy()
    assert.deepEqual(await everything(app), [])
  },
)

for (const how of ['purge', 'detach'] as const)
  atEach(levels, `${how} of a has-many also ends a running upload`, async (app) => {
    await app.storage.record('User', 1).certificates.attach([text('a'), text('b')])
    const worker = await betweenUploadAndAttach(app, 'certificates')
    await app.storage.record('User', 1).certificates.attachLater(text('pending'))
    const user = await app.open()
    await user.record(1).certificates[how]()
    worker.release()
    await app.waits(worker.working)
    await user.commit()
    await worker.working
    await app.finish()
    assert.deepEqual(await app.attached(1, 'certificates'), [])
    assert.equal(app.service.objects.size, how === 'purge' ? 0 : 2)
  })

atEach(
  databases,
  'a direct attach of bytes while an upload runs stays, and its object too',
  async (app) => {
    const worker = await betweenUploadAndAttach(app)
    await app.storage.record('User', 1).photo.attach(text('direct'))
    await worker.finish()
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'photo'), ['direct.txt'])
    assert.equal(
      (await (await app.storage.record('User', 1).photo.attachment())?.download())?.toString(),
      'direct',
    )
  },
)

atEach(
  levels,
  'of two direct attaches to an empty has-one, begun in turn, the last one stays',
  async (app) => {
    const [first, second] = [
      await app.storage.blobs.createAndUpload(text('first')),
      await app.storage.blobs.createAndUpload(text('second')),
    ]
    const committed: string[] = []
    let other: { done: Promise<unknown> } | undefined
    await app.transaction(async (user) => {
      await user.read()
      other ??= await app.meanwhile(() =>
        app
          .transaction((meanwhile) => meanwhile.record(1).photo.attach(first.signedId))
          .then(() => committed.push('first.txt')),
      )
      await user.record(1).photo.attach(second.signedId)
    })
    committed.push('second.txt')
    await other?.done
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'photo'), [committed.at(-1)])
  },
)

atEach(
  levels,
  'of two direct attaches to an empty has-one, one waiting for the other, the last one stays',
  async (app) => {
    const [first, second] = [
      await app.storage.blobs.createAndUpload(text('first')),
      await app.storage.blobs.createAndUpload(text('second')),
    ]
    const user = await app.open()
    await user.record(1).photo.attach(first.signedId)
    const waiting = app.begin(() =>
      app.transaction((other) => other.record(1).photo.attach(second.signedId)),
    )
    await app.waits(waiting)
    await user.commit()
    await waiting
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'photo'), ['second.txt'])
  },
)

atEach(
  databases,
  'two direct attaches of bytes whose objects are both stored leave one attachment',
  async (app) => {
    const holds = [app.hold('uploaded'), app.hold('uploaded')]
    const attaching = ['a', 'b'].map((name) =>
      app.begin(() => app.another().record('User', 1).photo.attach(text(name))),
    )
    for (const hold of holds) await hold.reachedBy(Promise.all(attaching))
    for (const hold of holds) hold.open()
    await Promise.all(attaching)
    await app.finishTidy()
    assert.equal((await app.attached(1, 'photo')).length, 1)
  },
)

atEach(
  levels,
  'one blob attached to one has-many by two transactions is attached once',
  async (app) => {
    const blob = await app.storage.blobs.createAndUpload(text('x'))
    let other: { done: Promise<unknown> } | undefined
    await app.transaction(async (user) => {
      await user.read()
      other ??= await app.meanwhile(() =>
        app.transaction((meanwhile) => meanwhile.record(1).certificates.attach(blob.signedId)),
      )
      await user.record(1).certificates.attach(blob.signedId)
    })
    await other?.done
    assert.deepEqual(await app.attached(1, 'certificates'), ['x.txt'])
  },
)

atEach(levels, 'a blob that was detached meanwhile is attached again', async (app) => {
  const blob = await app.storage.blobs.createAndUpload(text('x'))
  await app.storage.record('User', 1).photo.attach(blob.signedId)
  const committed: string[] = []
  let other: { done: Promise<unknown> } | undefined
  await app.transaction(async (user) => {
    await user.read()
    other ??= await app.meanwhile(() =>
      app
        .transaction((meanwhile) => meanwhile.record(1).photo.detach())
        .then(() => committed.push('detach')),
    )
    await user.record(1).photo.attach(blob.signedId)
  })
  committed.push('attach')
  await other?.done
  assert.deepEqual(await app.attached(1, 'photo'), committed.at(-1) === 'attach' ? ['x.txt'] : [])
})
