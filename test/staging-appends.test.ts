// Several requests and processes may append to one staged file, one after the other.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { hasOneAttached } from '../src/index.ts'
import type { Database } from '../src/adapters.ts'
import { createTableNames } from '../src/database/schema.ts'
import { openStore, type Store } from '../src/database/store.ts'
import { uuidv7 } from '../src/database/uuid.ts'
import { readStaged } from '../src/staging/chunks.ts'
import { CHUNK_SIZE } from '../src/staging/file-rows.ts'
import {
  appendBytes,
  appendChunk,
  completeStaging,
  measureStaging,
  openStaging,
} from '../src/staging/staging-file.ts'
import { closeDatabases, kinds } from './support/databases.ts'
import { fresh } from './support/storage.ts'

after(() => closeDatabases())

const KB = 1024
const worker = join(import.meta.dirname, 'support', 'append-worker.ts')

/** Appends in a process of its own. */
async function appendElsewhere(
  url: string,
  fileId: string,
  offset: number,
  size: number,
  letter: string,
): Promise<unknown> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    worker,
    url,
    fileId,
    String(offset),
    String(size),
    letter,
  ])
  return JSON.parse(stdout)
}

async function openTestStore(database: Database<never>): Promise<Store> {
  return openStore(database as unknown as Database<unknown>, createTableNames(), 'bigint')
}

async function begin(store: Store): Promise<string> {
  const id = uuidv7()
  await openStaging(store.session, { id, filename: 'parts.txt' })
  return id
}

for (const kind of kinds) {
  test(`${kind.name}: two processes append to one file, and it is complete`, async (t) => {
    const app = await fresh(t, kind, { User: { photo: hasOneAttached() } })
    if (app === null) return
    const store = await openTestStore(app.made.database)
    const { url } = app.made
    const id = await begin(store)

    assert.equal(await appendBytes(store, id, 0, Buffer.alloc(700 * KB, 'a')), 700 * KB)
    assert.deepEqual(await appendElsewhere(url, id, 0, 700 * KB, 'x'), {
      code: 'STAGING_OFFSET',
      expectedOffset: 700 * KB,
    })
    assert.deepEqual(await appendElsewhere(url, id, 700 * KB, 900 * KB, 'b'), { size: 1600 * KB })
    await assert.rejects(appendBytes(store, id, 700 * KB, Buffer.from('late')), {
      code: 'STAGING_OFFSET',
      expectedOffset: 1600 * KB,
    })
    assert.equal(await appendBytes(store, id, 1600 * KB, Buffer.alloc(0)), 1600 * KB)
    assert.equal(await appendBytes(store, id, 1600 * KB, Buffer.from('c')), 1600 * KB + 1)

    const expected = Buffer.concat([
      Buffer.alloc(700 * KB, 'a'),
      Buffer.alloc(900 * KB, 'b'),
      Buffer.from('c'),
    ])
    const lengths = await store.session.db
      .selectFrom('chunks')
      .select('data')
      .where('file_id', '=', id)
      .orderBy('position')
      .execute()
    assert.deepEqual(
      lengths.map(({ data }) => data.length),
      [CHUNK_SIZE, CHUNK_SIZE, CHUNK_SIZE, expected.length - 3 * CHUNK_SIZE],
    )

    const { head, ...digest } = await measureStaging(store, id)
    assert.deepEqual(digest, {
      byteSize: expected.length,
      chunks: 4,
      checksum: createHash('md5').update(expected).digest('base64'),
    })
    assert.ok(head.equals(expected.subarray(0, CHUNK_SIZE)))
    const named = { id, filename: 'parts.txt', contentType: 'text/plain' }
    const early = { ...digest, byteSize: 700 * KB, chunks: 2 }
    assert.equal(await completeStaging(store.session, { ...named, ...early }, 60_000), null)
    const file = await completeStaging(store.session, { ...named, ...digest }, 60_000)
    assert.equal(file?.state, 'staged')
    const read: Buffer[] = []
    for await (const chunk of readStaged(store, file)) read.push(chunk)
    assert.ok(Buffer.concat(read).equals(expected))

    await assert.rejects(appendBytes(store, id, expected.length, Buffer.from('more')), {
      code: 'STAGED_FILE_EXPIRED',
    })
    assert.deepEqual(await appendElsewhere(url, id, expected.length, 1, 'd'), {
      code: 'STAGED_FILE_EXPIRED',
    })
  })

  test(`${kind.name}: of two concurrent appends at the same offset, one is refused`, async (t) => {
    const app = await fresh(t, kind, { User: { photo: hasOneAttached() } })
    if (app === null) return
    const store = await openTestStore(app.made.database)
    const id = await begin(store)
    await appendBytes(store, id, 0, Buffer.from('start'))
    const results = await Promise.all([
      appendElsewhere(app.made.url, id, 5, 600 * KB, 'a'),
      appendElsewhere(app.made.url, id, 5, 600 * KB, 'b'),
    ])
    const size = 600 * KB + 5
    assert.deepEqual(
      results.toSorted((a, b) => JSON.stringify(b).localeCompare(JSON.stringify(a))),
      [{ size }, { code: 'STAGING_OFFSET', expectedOffset: size }],
    )
    assert.equal((await measureStaging(store, id)).byteSize, size)
  })

  test(`${kind.name}: a lone writer appends whole chunks, in any order`, async (t) => {
    const app = await fresh(t, kind, { User: { photo: hasOneAttached() } })
    if (app === null) return
    const store = await openTestStore(app.made.database)
    const id = await begin(store)
    await appendChunk(store.session, id, CHUNK_SIZE, Buffer.from('last'))
    await appendChunk(store.session, id, 0, Buffer.alloc(CHUNK_SIZE, 'a'))
    await assert.rejects(appendChunk(store.session, id, CHUNK_SIZE + 4, Buffer.from('more')), {
      code: 'STAGING_OFFSET',
      expectedOffset: CHUNK_SIZE,
    })
    assert.equal(await appendBytes(store, id, CHUNK_SIZE + 4, Buffer.from('!')), CHUNK_SIZE + 5)
  })
}
