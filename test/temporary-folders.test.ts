import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { hasOneAttached } from '../src/index.ts'
import { testStorage } from '../src/testing/index.ts'
import { text } from './support/storage.ts'
import { after } from 'node:test'
import { createActiveStorage, hasManyAttached } from '../src/index.ts'
import { disk } from '../src/services/disk.ts'
import { kinds, closeDatabases } from './support/databases.ts'
import { fresh } from './support/storage.ts'
import { useOwnTemporaryFolder, useTemporaryFolder } from './support/temporary-folder.ts'
import { tinyDisk } from './support/tiny-disk.ts'

/**
 * Script of a process that is in every call that makes a temporary folder at once: the direct
 * upload, the worker's transformation, `open`.
 */
const script = `
import { createActiveStorage, hasOneAttached } from './src/index.ts'
import { sqlite } from './src/database/sqlite.ts'
import { memory } from './src/services/memory.ts'
const hang = (line) => () => (console.log(line), new Promise(() => setInterval(() => undefined, 1000)))
const storage = createActiveStorage({
  database: sqlite(':memory:'),
  services: { slow: { ...memory(), upload: hang('upload') }, quick: memory() },
  service: 'quick',
  images: { name: 'slow', transform: hang('transform') },
  models: { User: { made: hasOneAttached({ variantInfo: { quality: 50 } }), sent: hasOneAttached({ service: 'slow' }), read: hasOneAttached() } },
  secretKeyBase: 'a secret of the tests',
})
await storage.migrate()
const user = storage.record('User', 1)
const file = new File(['x'], 'x.txt')
const read = await user.read.attach(file)
void read.open(hang('open'))
void user.sent.attach(file)
await user.made.attachLater(file)
await storage.drain()
`

test('folders that a killed process left in the temporary folder are swept', async (t) => {
  const folder = await useOwnTemporaryFolder(t)
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  const lines: string[] = []
  for await (const line of createInterface(child.stdout)) if (lines.push(line) === 3) break
  assert.deepEqual(lines.toSorted(), ['open', 'transform', 'upload'])
  const { storage } = await testStorage({ User: { photo: hasOneAttached() } })
  t.after(() => storage.close())

  // While it lives, its folders stay.
  await storage.sweep()
  const made = await readdir(folder)
  assert.equal(made.length, 3)
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
  await storage.sweep()
  assert.deepEqual(await readdir(folder), [])

  // A process that has the id of a dead one is another; what cannot be looked up goes after a day.
  const [, place = '', pid = ''] = /^activestorage-delayed-(\w+)-(\d+)-/.exec(made[0] ?? '') ?? []
  const goes = [
    `activestorage-delayed-${place}-${process.pid}-1-abcdef`,
    `activestorage-delayed-00000000-${pid}-1-abcdef`,
  ]
  const stays = [
    'activestorage-delayed-00000000-1-1-abcdef',
    'activestorage-delayed-mine',
    `activestorage-delayed-${place}-${pid}-1-link00`,
    `activestorage-delayed-${place}-${pid}-1-file00`,
  ]
  for (const name of [...goes, ...stays.slice(0, 2)]) await mkdir(join(folder, name))
  await utimes(join(folder, goes[1] ?? ''), 0, 0)
  await symlink(join(folder, stays[1] ?? ''), join(folder, stays[2] ?? ''))
  await writeFile(join(folder, stays[3] ?? ''), '')
  await storage.sweep()
  assert.deepEqual((await readdir(folder)).toSorted(), stays.toSorted())

  // A process sweeps nothing of its own.
  const attached = await storage.record('User', 1).photo.attach(text('mine'))
  await attached?.open(async (path) => {
    await storage.sweep()
    assert.equal(await readFile(path, 'utf8'), 'mine')
  })
  assert.deepEqual((await readdir(folder)).toSorted(), stays.toSorted())
})

after(() => closeDatabases())
const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }
const file = (name: string): File => new File([name], name)

test('files that a killed process left half-written in a folder are deleted after a day', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'asd-partials-'))
  t.after(() => rm(root, { recursive: true }))
  await mkdir(join(root, '.tmp'))
  for (const name of ['old', 'new']) await writeFile(join(root, '.tmp', name), 'x')
  await utimes(join(root, '.tmp', 'old'), 0, 0)
  const { database } = (await kinds[0]?.create()) ?? assert.fail()
  const storage = createActiveStorage({
    database,
    services: { disk: disk({ root }) },
    models,
    secretKeyBase: 'x',
    logger: false,
  })
  await storage.migrate()
  await storage.record('User', 1).photo.attach(file('x'))
  assert.deepEqual(await readdir(join(root, '.tmp')), ['new'])
  await storage.close()
})

const sqliteKind = kinds.find((kind) => kind.name === 'SQLite')!

test('a full or missing temporary folder is an error that says so, and nothing stays in it', async (t) => {
  const app = await fresh(t, sqliteKind, models)
  if (app === null) return
  const { photo } = app.storage.record('User', 1)
  const tiny = await tinyDisk(1)
  t.after(() => tiny?.close())
  if (tiny === null) t.diagnostic('no disk can be mounted here: the full one is skipped')
  else {
    useTemporaryFolder(t, tiny.folder)
    const large = { io: Buffer.alloc(2 << 20), filename: 'large.bin' }
    const full = {
      code: 'SERVICE',
      retryable: true,
      message: /large\.bin could not be written to the temporary folder .*Its disk is full/,
    }
    await assert.rejects(photo.attach(large), full)
    assert.deepEqual(await readdir(tiny.folder), [])
  }
  useTemporaryFolder(t, '/nowhere')
  await assert.rejects(photo.attach({ io: Buffer.from('x'), filename: 'x' }), {
    code: 'SERVICE',
    message: /temporary folder \/nowhere.*Set TMPDIR/,
  })
})
