import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { sqlite } from '../src/database/sqlite.ts'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import { disk } from '../src/services/disk.ts'
import { closeDatabases } from './support/databases.ts'
import { storageOn, text } from './support/storage.ts'

after(() => closeDatabases())

test('a file is stored under its name, cut or extended to what a key may hold', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'asd-names-'))
  t.after(() => rm(root, { recursive: true }))
  const prefix = `tenants/0193b2a4-5a7e-7c3a-9d52-0c1b2a3d4e5f/${'sub/'.repeat(20)}user-photos`
  const plain = { useFilename: (_record: unknown, name: string) => name }
  const named = {
    long: hasOneAttached({ keyPrefix: prefix, useFilename: true }),
    chosen: hasManyAttached({ keyPrefix: prefix, ...plain }),
    short: hasManyAttached(plain),
  }
  const storage = storageOn(sqlite(':memory:'), { User: named }, disk({ root }))
  t.after(() => storage.close())
  await storage.migrate()
  const { long, chosen, short } = storage.record('User', 1)
  await long.attachLater(text('1', `${'x'.repeat(250)}.png`))
  for (const letter of ['x', 'é', '日'])
    await chosen.attachLater([
      text('2', `${letter.repeat(80)}.png`),
      text('3', `${letter.repeat(80)}.png`),
    ])
  // One of them would be a folder of the other.
  for (const name of ['aa', 'aaaa.txt', 'a', 'aaa', 'aaaa', 'aaaaa', 'bb', 'bbbb.txt'])
    await short.attachLater(text(name, name))
  assert.deepEqual(await storage.drain({ throwOnError: true }), {
    uploaded: 12,
    retried: 0,
    failed: 0,
    remaining: 0,
  })
  const keys = new Set<string>()
  for (const attachment of [
    await long.attachment(),
    ...(await chosen.attachments()),
    ...(await short.attachments()),
  ]) {
    const { blob } = attachment ?? assert.fail()
    assert.ok(Buffer.byteLength(blob.key) <= 255)
    assert.ok(blob.key.length >= 5)
    keys.add(blob.key)
    await blob.download()
  }
  assert.equal(keys.size, 15)
  assert.ok(keys.has('aaaa.txt') && keys.has('aaaaa'))
  assert.ok(!keys.has('aa'))
})
