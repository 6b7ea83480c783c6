// A change logs and wakes workers after the commit of its transaction.
import assert from 'node:assert/strict'
import diagnostics from 'node:diagnostics_channel'
import { after, test, type TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  hasManyAttached,
  hasOneAttached,
  type Attachment,
  type DelayedUpload,
  type RecordAttachments,
} from '../src/index.ts'
import type { Database, JobEngine } from '../src/adapters.ts'
import { closeDatabases, kinds, type Kind } from './support/databases.ts'
import { toLogger } from './support/logger.ts'
import { runTwice } from './support/run-twice.ts'
import { storageOn, switchable, text } from './support/storage.ts'

after(closeDatabases)

const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }

/** Notes what a storage logs as superseded, and what it publishes. */
function noteSuperseded(t: TestContext) {
  const noted: string[] = []
  const publish = (): void => void noted.push('published')
  diagnostics.subscribe('activestorage-delayed:superseded', publish)
  t.after(() => diagnostics.unsubscribe('activestorage-delayed:superseded', publish))
  const info = (message: string): void => {
    if (message === 'An upload was superseded by a direct change.') noted.push('logged')
  }
  return { noted, logger: toLogger({ info }) }
}

/** A queue that takes messages and delivers none: each wake-up looks for due uploads. */
const queue: JobEngine = {
  name: 'a queue of the test',
  transactional: false,
  enqueue: () => Promise.resolve(),
  work: () => Promise.resolve({ stop: () => Promise.resolve() }),
}

/**
 * A storage whose database reports commits when the test calls the callbacks, and counts the
 * statements that run outside of transactions.
 */
async function openStorage(
  t: TestContext,
  kind: Kind,
  toDatabase: (database: Database<never>) => Database<never> = (database) => database,
) {
  const made = await kind.create()
  if (made === null) {
    t.skip(`${kind.name}: ${kind.why ?? 'not to be had here'}`)
    return null
  }
  const service = switchable()
  const { noted, logger } = noteSuperseded(t)
  const callbacks: (() => void)[] = []
  const outside = { statements: 0 }
  const database = toDatabase({
    ...made.database,
    executor: {
      run(sql, parameters) {
        outside.statements += 1
        return made.database.executor.run(sql, parameters)
      },
    },
    afterCommit: (_tx, done) => void callbacks.push(done),
  })
  const storage = storageOn(database, models, service, {
    jobs: queue,
    retries: { attempts: 1 },
    logger,
  })
  await storage.migrate()
  t.after(async () => {
    await storage.close()
    await made.close()
  })
  const commit = (): void => callbacks.splice(0).forEach((done) => done())
  return { storage, service, noted, callbacks, outside, commit }
}

type User = RecordAttachments<typeof models.User>

async function firstUpload(user: User): Promise<DelayedUpload> {
  const [upload] = await user.docs.delayedUploads()
  return upload ?? assert.fail('there is no upload')
}

async function attachedPhoto(user: User): Promise<Attachment> {
  return (await user.photo.attachment()) ?? assert.fail('there is no attachment')
}

const changes: Readonly<Record<string, (user: User) => Promise<unknown>>> = {
  'retry of an upload': async (user) => (await firstUpload(user)).retry(),
  'discard of an upload': async (user) => (await firstUpload(user)).discard(),
  'detach of an attachment': async (user) => (await attachedPhoto(user)).detach(),
  'purge of an attachment': async (user) => (await attachedPhoto(user)).purge(),
  'purgeLater of an attachment': async (user) => (await attachedPhoto(user)).purgeLater(),
  'attachLater of a handle': (user) => user.docs.attachLater(text('z')),
  'purge of a handle': (user) => user.photo.purge(),
  'purgeAllLater of a handle': (user) => user.purgeAllLater(),
}

for (const kind of kinds) {
  for (const [name, change] of Object.entries(changes))
    test(`${kind.name}: ${name} wakes workers after the commit, not before`, async (t) => {
      const app = await openStorage(t, kind)
      if (app === null) return
      const { storage, service, callbacks, outside } = app
      await storage.record('User', 1).photo.attach(text('p'))
      service.failures = 1
      await storage.record('User', 1).docs.attachLater(text('x'))
      await storage.drain()
      await storage.transaction(async (tx) => {
        const user = storage.record('User', 1, { transaction: tx })
        outside.statements = 0
        await change(user)
        await nextTurn()
        assert.equal(outside.statements, 0)
        assert.equal(callbacks.length, 1)
      })
    })

  test(`${kind.name}: an upload counts as superseded after the commit, not before`, async (t) => {
    const app = await openStorage(t, kind)
    if (app === null) return
    const { storage, noted, callbacks, commit } = app
    await storage.record('User', 1).photo.attach(text('p'))
    await storage.record('User', 2).photo.attach(text('q'))
    const { blob } = await attachedPhoto(storage.record('User', 2))
    await storage.record('User', 1).photo.attachLater(text('late'))
    const refusal = new Error('the app rolls back')
    const directChanges: readonly ((user: User) => Promise<unknown>)[] = [
      (user) => user.photo.purge(),
      (user) => user.photo.attach(blob.signedId),
      async (user) => (await attachedPhoto(user)).purge(),
    ]
    for (const change of directChanges) {
      const work = async (tx: never): Promise<void> => {
        await change(storage.record('User', 1, { transaction: tx }))
        throw refusal
      }
      await assert.rejects(storage.transaction(work), refusal)
      callbacks.length = 0
      assert.deepEqual(noted, [])
    }
    await storage.transaction(async (tx) => {
      await (await attachedPhoto(storage.record('User', 1, { transaction: tx }))).purge()
    })
    assert.deepEqual(noted, [])
    commit()
    assert.deepEqual(noted, ['published', 'logged'])
  })

  test(`${kind.name}: a change whose transaction runs twice is reported once`, async (t) => {
    const isPurge = (statements: readonly string[]): boolean =>
      statements.some((sql) => /^delete from .*attachments/.test(sql))
    const app = await openStorage(t, kind, (database) => runTwice(database, isPurge))
    if (app === null) return
    const { storage, noted } = app
    await storage.record('User', 1).photo.attach(text('p'))
    await storage.record('User', 1).photo.attachLater(text('late'))
    await storage.record('User', 1).photo.purge()
    assert.deepEqual(noted, ['published', 'logged'])
  })
}

test('a change of a value is seen by the handle that had read its rows before', async (t) => {
  const [sqlite] = kinds
  const app = sqlite === undefined ? null : await openStorage(t, sqlite)
  if (app === null) return
  await app.storage.record('User', 1).photo.attach(text('p'))
  const [user] = await app.storage.records('User', [1])
  await (await attachedPhoto(user ?? assert.fail())).purge()
  assert.equal(await user?.photo.attached(), false)
})
