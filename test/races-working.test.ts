// Races of workers: claims, snoozes and wake-ups, manual retry and discard.
import assert from 'node:assert/strict'
import { after } from 'node:test'
import {
  atEach,
  closeServers,
  databases,
  levels,
  type App,
  type Hold,
  type Storage,
} from './support/races.ts'
import { text } from './support/storage.ts'

after(closeServers)

const servers = databases.filter(({ dialect }) => dialect !== 'SQLite')
const uploadRows = (app: App) =>
  app.query('select uploadable_id, state, attempts, run_at from {uploads} order by id')
/** Ends all leases, as those of a dead worker end after their time. */
const endLeases = (app: App) => app.query('update {uploads} set lease_until = 0')

/** A failed upload of a has-one. */
async function failed(app: App) {
  app.service.failures = 3
  await app.storage.record('User', 1).photo.attachLater(text('x'))
  while ((await app.storage.delayedUploads.stats()).failed === 0) {
    await app.makeDue()
    await app.storage.drain()
  }
  const [upload] = await app.storage.delayedUploads.list()
  assert.ok(upload)
  return upload
}

atEach(
  databases,
  'each of many lanes is woken when it is free: no upload stays snoozed',
  async (app) => {
    const lanes = Array.from({ length: 12 }, (_, index) => index + 1)
    const holds = lanes.map(() => app.hold('uploaded'))
    for (const id of lanes)
      await app.storage.record('User', id).certificates.attachLater(text('first'))
    const working = app.begin(() => app.another().drain({ concurrency: lanes.length }))
    for (const hold of holds) await hold.reachedBy(working)
    for (const id of lanes)
      await app.storage.record('User', id).certificates.attachLater(text('second'))
    const other = app.another()
    // It waits for nobody: those whose turn it is not are put off.
    assert.equal((await other.drain()).remaining, lanes.length * 2)
    const now = Date.now()
    assert.ok(
      (await uploadRows(app)).every(
        (row) =>
          row['state'] === 'running' ||
          (Number(row['run_at']) > now && Number(row['attempts']) === 0),
      ),
    )
    for (const hold of holds) hold.open()
    await working
    await other.drain()
    assert.deepEqual(await uploadRows(app), [])
    for (const id of lanes)
      assert.deepEqual(await app.attached(id, 'certificates'), ['first.txt', 'second.txt'])
  },
)

atEach(servers, 'an upload that is snoozed while its lane becomes free is woken', async (app) => {
  const { certificates } = app.storage.record('User', 1)
  await certificates.attachLater(text('first'))
  const uploaded = app.hold('uploaded')
  // Without more capacity, only the claimer can snooze the second upload.
  const working = app.begin(() => app.another().drain({ concurrency: 1 }))
  await uploaded.reachedBy(working)
  await certificates.attachLater(text('second'))
  const claimer = app.another()
  const snoozing = claimer.holdAfter(/^update uploads set run_at/)
  const claiming = app.begin(() => claimer.drain())
  await snoozing.reachedBy(claiming)
  uploaded.open()
  await app.settledOrWaiting(working)
  snoozing.open()
  await Promise.all([working, claiming])
  await app.storage.drain()
  assert.deepEqual(await app.attached(1, 'certificates'), ['first.txt', 'second.txt'])
})

atEach(
  databases,
  'a retry that waits for its lane runs as soon as the lane is free',
  async (app) => {
    const { certificates } = app.storage.record('User', 1)
    await certificates.attachLater(text('first'))
    const uploaded = app.hold('uploaded')
    const working = app.begin(() => app.another().drain())
    await uploaded.reachedBy(working)
    await certificates.attachLater(text('second'))
    await app.query("update {uploads} set attempts = 1 where state = 'pending'")
    const other = app.another()
    await other.drain()
    const [row] = (await uploadRows(app)).filter(({ state }) => state === 'pending')
    assert.ok(Number(row?.['run_at']) > Date.now())
    uploaded.open()
    await working
    await other.drain()
    assert.deepEqual(await app.attached(1, 'certificates'), ['first.txt', 'second.txt'])
  },
)

atEach(
  databases,
  'the next upload of a lane does not wait for the hooks of the one before',
  async (app) => {
    const { photo } = app.storage.record('User', 1)
    await photo.attachLater(text('first'))
    const [uploaded, hook] = [app.hold('uploaded'), app.hold('afterUpload')]
    const working = app.begin(() => app.another().drain())
    await uploaded.reachedBy(working)
    await photo.attachLater(text('second'))
    const other = app.another()
    await other.drain()
    uploaded.open()
    await hook.reachedBy(working)
    await other.drain()
    const attached = await app.attached(1, 'photo')
    hook.open()
    await working
    assert.deepEqual(attached, ['second.txt'])
  },
)

atEach(
  databases,
  'an upload whose last worker died frees its lane for the next one',
  async (app) => {
    const { photo } = app.storage.record('User', 1)
    await photo.attachLater(text('first'))
    const uploaded = app.hold('uploaded')
    const working = app.begin(() => app.another().drain({ concurrency: 1 }))
    await uploaded.reachedBy(working)
    await photo.attachLater(text('second'))
    await app.storage.drain()
    await app.query("update {uploads} set attempts = 3, lease_until = 0 where state = 'running'")
    await app.storage.drain()
    const attached = await app.attached(1, 'photo')
    uploaded.open()
    await working
    assert.deepEqual(attached, ['second.txt'])
  },
)

atEach(
  servers,
  'of two claims of one lane one runs, and the refused worker takes the others one by one',
  async (app) => {
    const lane = app.storage.record('User', 1).certificates
    await lane.attachLater(text('younger'))
    // Another worker's claim, which is not committed yet.
    const claim = await app.open()
    await claim.run("update {uploads} set state = 'running', lease_until = 9000000000000")
    // One that comes before it appears while it is being claimed, as a row of the gem's that is
    // moved.
    await lane.attachLater(text('older'))
    const [row] = await app.query('select max(id) as id from {uploads}')
    await app.query(`update {uploads} set origin_id = 0 where id = ${String(row?.['id'])}`)
    await app.storage.record('User', 2).certificates.attachLater(text('elsewhere'))
    const uploaded = app.hold('uploaded')
    const refused = app.begin(() => app.another().drain())
    await app.waits(refused)
    await claim.commit()
    await uploaded.reachedBy(refused)
    const running = (await uploadRows(app))
      .filter((row) => row['state'] === 'running')
      .map((row) => Number(row['uploadable_id']))
    assert.deepEqual(running, [1, 2])
    uploaded.open()
    await refused
    await endLeases(app)
    await app.finishTidy()
    assert.deepEqual((await app.attached(1, 'certificates')).toSorted(), [
      'older.txt',
      'younger.txt',
    ])
  },
)

atEach(
  servers,
  'an upload seen waiting is not postponed if its lane is free when its row is locked',
  async (app) => {
    const { certificates } = app.storage.record('User', 1)
    await certificates.attachLater(text('first'))
    const uploaded = app.hold('uploaded')
    const working = app.begin(() => app.another().drain())
    await uploaded.reachedBy(working)
    const claimer = app.another()
    await certificates.attachLater(text('second'))
    const seen = claimer.holdBefore(/^select .* from uploads u\s+where u.id in .* skip locked$/)
    const claiming = app.begin(() => claimer.drain())
    await seen.reachedBy(claiming)
    uploaded.open()
    await app.settledOrWaiting(working)
    seen.open()
    await Promise.all([working, claiming])
    await app.storage.drain()
    assert.deepEqual(await app.attached(1, 'certificates'), ['first.txt', 'second.txt'])
  },
)

atEach(
  levels.filter(
    ({ dialect, isolation }) =>
      dialect === 'PostgreSQL' || (dialect === 'MariaDB' && isolation === 'read committed'),
  ),
  'an uncommitted submission blocks no other lane',
  async (app) => {
    await app.storage.record('User', 1).photo.attachLater(text('older'))
    const user = await app.open()
    await user.record(1).photo.attachLater(text('younger'))
    await app.storage.record('User', 2).photo.attachLater(text('elsewhere'))
    const told = app.hold('afterUpload')
    const working = app.begin(() => app.another().drain())
    await told.reachedBy(working)
    assert.deepEqual(
      [await app.attached(1, 'photo'), await app.attached(2, 'photo')],
      [[], ['elsewhere.txt']],
    )
    told.open()
    await user.commit()
    await working
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'photo'), ['younger.txt'])
  },
)

atEach(
  databases,
  'a worker that resumes after its lease while another sends the object removes nothing',
  async (app) => {
    await app.storage.record('User', 1).photo.attachLater(text('x'))
    const [first, second] = [app.hold('uploaded'), app.hold('uploaded')]
    const zombie = app.begin(() => app.another().drain({ concurrency: 1 }))
    await first.reachedBy(zombie)
    await endLeases(app)
    const working = app.begin(() => app.another().drain())
    await second.reachedBy(working)
    first.open()
    assert.equal((await zombie).uploaded, 0)
    assert.deepEqual(await app.attached(1, 'photo'), [])
    second.open()
    await working
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'photo'), ['x.txt'])
  },
)

atEach(databases, 'two retries at once are one submission', async (app) => {
  const upload = await failed(app)
  const other = app.another()
  const deleting = other.holdBefore(/^delete from uploads/)
  const first = app.begin(async () => (await other.delayedUploads.find(upload.id))?.retry())
  await deleting.reachedBy(first)
  const second = app.begin(() => upload.retry())
  await app.waits(second)
  deleting.open()
  await Promise.all([first, second])
  assert.deepEqual(
    (await app.storage.delayedUploads.list()).map(({ id, state }) => [id, state]),
    [[upload.id, 'pending']],
  )
  app.service.uploads = 0
  await app.finishTidy()
  assert.deepEqual(await app.attached(1, 'photo'), ['x.txt'])
  assert.equal(app.service.uploads, 1)
})

atEach(
  databases,
  'while one worker runs hooks no other worker runs them, in any round',
  async (app) => {
    await app.storage.record('User', 1).photo.attachLater(text('x'))
    const [first, second, third] = [
      app.hold('afterUpload'),
      app.hold('afterUpload'),
      app.hold('afterUpload'),
    ]
    // One thing at a time: a worker that looks for more would hold, for a moment, the row that
    // another is to find.
    const work = () => app.begin(() => app.another().drain({ concurrency: 1 }))
    const nobodyCalls = (hold: Hold) =>
      Promise.race([
        hold.reached.then(() => assert.fail('hooks are called by two at once')),
        work(),
      ])
    const dying = work()
    await first.reachedBy(dying)
    await nobodyCalls(second)
    await endLeases(app)
    const working = work()
    await second.reachedBy(working)
    await nobodyCalls(third)
    for (const hold of [first, second, third]) hold.open()
    await Promise.all([dying, working])
    await app.finishTidy()
  },
)

atEach(
  databases,
  'a worker that resumes after its lease, before it chose a key, sends nothing',
  async (app) => {
    await app.storage.record('User', 1).photo.attachLater(text('x'))
    const sleepy = app.another()
    const readFiles = sleepy.holdAfter(/^select .* from files as f where f\.upload_token/)
    // One thing at a time: if it looked for more, it would hold the row for a moment in which the
    // other passes it by.
    const zombie = app.begin(() => sleepy.drain({ concurrency: 1 }))
    await readFiles.reachedBy(zombie)
    await endLeases(app)
    const uploaded = app.hold('uploaded')
    const working = app.begin(() => app.another().drain())
    await uploaded.reachedBy(working)
    readFiles.open()
    assert.equal((await zombie).uploaded, 0)
    assert.equal(app.service.uploads, 1)
    uploaded.open()
    assert.equal((await working).uploaded, 1)
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'photo'), ['x.txt'])
  },
)

atEach(
  databases,
  'a retry replaces the attachments of its own time, not of its first submission',
  async (app) => {
    const { certificates } = app.storage.record('User', 1)
    await certificates.attach(text('old'))
    app.service.failures = 3
    await certificates.attachLater({ files: [text('new')], cleanBefore: true })
    while ((await app.storage.delayedUploads.stats()).failed === 0) {
      await app.makeDue()
      await app.storage.drain()
    }
    await certificates.attach(text('meanwhile'))
    for (const upload of await certificates.delayedUploads()) await upload.retry()
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'certificates'), ['new.txt'])
  },
)

/** A worker claims a pending upload in the middle of what a person does with it. */
async function claimedMeanwhile(
  app: App,
  act: (storage: Storage, id: string) => Promise<unknown>,
): Promise<void> {
  const upload = await app.storage.record('User', 1).photo.attachLater(text('x'))
  const person = app.another()
  const deleting = person.holdBefore(/^delete from uploads/)
  const acting = app.begin(() => act(person, upload?.id ?? ''))
  await deleting.reachedBy(acting)
  const uploaded = app.hold('uploaded')
  const working = app.begin(() => app.another().drain())
  await Promise.race([uploaded.reached, app.settledOrWaiting(working)])
  deleting.open()
  await acting
  uploaded.open()
  await working
}

atEach(databases, 'a retry while a worker claims ends with one attachment', async (app) => {
  await claimedMeanwhile(app, async (storage, id) =>
    (await storage.delayedUploads.find(id))?.retry(),
  )
  await app.finishTidy()
  assert.deepEqual(await app.attached(1, 'photo'), ['x.txt'])
})

atEach(databases, 'a retry takes nothing away from a worker that has just claimed', async (app) => {
  await claimedMeanwhile(app, async (storage, id) =>
    (await storage.delayedUploads.find(id))?.retry(),
  )
  await app.finishTidy()
  assert.equal(app.service.uploads, 1)
})

atEach(databases, 'a discard while a worker claims leaves nothing', async (app) => {
  await claimedMeanwhile(app, async (storage, id) =>
    (await storage.delayedUploads.find(id))?.discard(),
  )
  await app.finishTidy()
  assert.deepEqual(await app.attached(1, 'photo'), [])
})

for (const act of ['retry', 'discard'] as const)
  atEach(
    databases,
    `${act} takes effect while a worker is about to attach, and uploads nothing again`,
    async (app) => {
      const upload = await app.storage.record('User', 1).photo.attachLater(text('x'))
      const uploaded = app.hold('uploaded')
      const working = app.begin(() => app.another().drain())
      await uploaded.reachedBy(working)
      await upload?.[act]()
      uploaded.open()
      await working
      await app.finishTidy()
      assert.deepEqual(await app.attached(1, 'photo'), act === 'retry' ? ['x.txt'] : [])
      assert.equal(app.service.uploads, 1)
    },
  )

atEach(
  levels,
  'a discard in a transaction older than a retry leaves no upload without files',
  async (app) => {
    const upload = await failed(app)
    let retrying: { done: Promise<unknown> } | undefined
    await app.transaction(async (user) => {
      const [seen] = await user.record(1).photo.delayedUploads()
      retrying ??= await app.meanwhile(() => upload.retry())
      await seen?.discard()
    })
    await retrying?.done
    // The retry found nothing more to do if it had to wait.
    assert.deepEqual(await uploadRows(app), [])
    await app.finishTidy()
    assert.deepEqual(await app.attached(1, 'photo'), [])
  },
)

atEach(
  databases,
  'a discard in a transaction lets the next upload of the lane run at once',
  async (app) => {
    const { certificates } = app.storage.record('User', 1)
    await certificates.attachLater(text('first'))
    const uploaded = app.hold('uploaded')
    const working = app.begin(() => app.another().drain())
    await uploaded.reachedBy(working)
    for (const name of ['second', 'third']) await certificates.attachLater(text(name))
    await app.storage.drain()
    await app.transaction(async (user) => {
      for (const upload of (await user.record(1).certificates.delayedUploads()).slice(0, 2))
        await upload.discard()
    })
    uploaded.open()
    await working
    await app.storage.drain()
    assert.deepEqual(await app.attached(1, 'certificates'), ['third.txt'])
  },
)

atEach(databases, 'concurrent uploads of a has-one end with only the last one', async (app) => {
  const workers = Array.from({ length: 4 }, () => app.another().work({ concurrency: 3 }))
  const submit = (index: number) =>
    app.storage.record('User', 1).photo.attachLater(text(`${index}`))
  for (let start = 0; start < 36; start += 9)
    await Promise.all(Array.from({ length: 9 }, (_, index) => submit(start + index)))
  await submit(36)
  await Promise.all(workers.map((worker) => worker.stop()))
  await app.finishTidy()
  assert.deepEqual(await app.attached(1, 'photo'), ['36.txt'])
  assert.equal(app.service.objects.size, 1)
})
