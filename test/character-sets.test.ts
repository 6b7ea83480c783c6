// MySQL tables of an old Rails use utf8mb3 or latin1, which lack many characters.
import assert from 'node:assert/strict'
import { after, test, type TestContext } from 'node:test'
import mysql2 from 'mysql2/promise'
import { run } from '../src/cli/run.ts'
import { mysql } from '../src/database/mysql.ts'
import { postgres } from '../src/database/postgres.ts'
import { hasManyAttached, hasOneAttached, type ActiveStorage } from '../src/index.ts'
import { kinds, closeDatabases } from './support/databases.ts'
import { storageOn, switchable, text } from './support/storage.ts'

after(() => closeDatabases())

const models = {
  User: {
    photo: hasOneAttached(),
    named: hasOneAttached({
      useFilename: (_record, filename) => filename,
      keyPrefix: () => 'дом😀',
    }),
    docs: hasManyAttached({ keyPrefix: 'a😀' }),
  },
}

function railsTables(charset: string): string[] {
  const end = `engine=InnoDB row_format=compact default charset=${charset}`
  const string = 'varchar(255)'
  return [
    `create table active_storage_blobs (id bigint not null auto_increment primary key, \`key\` ${string} not null comment 'it''s "a" key', filename varchar(40) not null default 'none', content_type ${string}, metadata text, service_name ${string} not null, byte_size bigint not null, checksum ${string}, created_at datetime(6) not null) ${end}`,
    `create unique index index_active_storage_blobs_on_key on active_storage_blobs (\`key\`)`,
    `create table active_storage_attachments (id bigint not null auto_increment primary key, name ${string} not null, record_type ${string} not null, record_id bigint not null, blob_id bigint not null, created_at datetime(6) not null) ${end}`,
    'create unique index index_active_storage_attachments_uniqueness on active_storage_attachments (record_type, record_id, name, blob_id)',
    `create table active_storage_variant_records (id bigint not null auto_increment primary key, blob_id bigint not null, variation_digest ${string} not null) ${end}`,
    'create unique index index_active_storage_variant_records_uniqueness on active_storage_variant_records (blob_id, variation_digest)',
    `create table activestorage_delayed_uploads (id bigint not null auto_increment primary key, uploadable_type ${string}, uploadable_id bigint, attr_name ${string}, deleted_ids varchar(255) default '', clean_before tinyint(1) default 0, files longtext, created_at datetime(6) not null, updated_at datetime(6) not null) ${end}`,
  ]
}

/** A database with old tables, migrated; null: skipped. */
async function old(
  t: TestContext,
  charset: string,
  given: readonly string[] = railsTables(charset),
) {
  const kind = kinds.find(({ name }) => name === 'MariaDB') ?? assert.fail()
  const made = await kind.create()
  if (made === null) return t.skip(`MariaDB: ${kind.why}`)
  const { database } = made
  const run = async (sql: string) => (await database.executor.run(sql, [])).rows
  for (const sql of given) await run(sql)
  const told: string[] = []
  const log = (message: string): void => void told.push(message)
  const logger = { debug: log, info: log, warn: log, error: log }
  const opened: { close(): Promise<void> }[] = []
  const storage = (more: object = {}): ActiveStorage<typeof models, never> => {
    const service = switchable()
    const made = storageOn(database, models, service, { logger, retries: { attempts: 1 }, ...more })
    opened.push(made)
    return made
  }
  t.after(async () => {
    for (const each of opened) await each.close()
    await made.close()
  })
  const shape = async (): Promise<unknown[]> =>
    Promise.all(
      ['blobs', 'attachments', 'variant_records'].map((table) =>
        run(`show create table active_storage_${table}`),
      ),
    )
  return { run, database, told, storage, shape }
}

/** Returns the output of `migrate --print-utf8mb4`. */
async function print(
  t: TestContext,
  storage: ActiveStorage<typeof models, never>,
): Promise<string> {
  const log = t.mock.method(console, 'log', () => undefined)
  assert.equal(await run(storage, ['migrate', '--print-utf8mb4']), 0)
  log.mock.restore()
  return String(log.mock.calls[0]?.arguments[0])
}

const name = 'дом é 日本 😀.txt'
const cases = [
  { charset: 'utf8mb3', stored: 'дом é 日本 _.txt', key: 'дом_/дом é 日本 _.txt' },
  { charset: 'latin1', stored: '___ é __ _.txt', key: '____/___ é __ _.txt' },
]

for (const { charset, stored, key } of cases) {
  test(`${charset}: a name loses only the characters its column cannot hold, with a line in the log`, async (t) => {
    const app = await old(t, charset)
    if (app === undefined) return
    const before = await app.shape()
    const storage = app.storage()
    await storage.migrate()
    assert.deepEqual(await app.shape(), before)
    const user = storage.record('User', 1)
    await user.photo.attachLater(text('later', name))
    assert.equal((await user.photo.latest())?.filename, name)
    await storage.drain({ throwOnError: true })
    assert.equal((await user.photo.attachment())?.filename, stored)
    assert.deepEqual(
      await app.run('select filename, sent_filename from activestorage_delayed_files'),
      [{ filename: name, sent_filename: stored }],
    )
    assert.equal(app.told.length, 1)
    assert.match(app.told[0] ?? '', new RegExp(`^${name} is stored as ${stored}.*${charset}`))

    assert.equal((await user.photo.attach(text('direct', name)))?.filename, stored)
    await user.named.attachLater(text('named', name))
    await storage.drain({ throwOnError: true })
    assert.equal((await user.named.attachment())?.blob.key, key)
    const [doc] = await user.docs.attach([text('prefixed', 'a.txt')])
    assert.match(doc?.blob.key ?? '', /^a_\/\w{28}$/)
    assert.equal((await storage.blobs.createAndUpload(text('blob', name))).filename, stored)
    assert.equal(
      (await user.docs.attach([text('long', `${'long '.repeat(20)}.txt`)]))[0]?.filename,
      `${'long '.repeat(7)}l.txt`,
    )
    assert.equal(app.told.length, 5)

    // Metadata of Rails and of the app is merged unchanged.
    const direct = {
      filename: name,
      byteSize: 1,
      checksum: 'DMF1ucDxtqgxw5niaXcmYQ==',
      metadata: { alt: '😀 дом' },
    }
    const { blob } = await storage.blobs.createBeforeDirectUpload(direct as never)
    assert.deepEqual([blob.filename, blob.metadata], [stored, { alt: '😀 дом' }])
  })

  test(`${charset}: a failed upload is marked as failed, whatever its error and name contain`, async (t) => {
    const app = await old(t, charset)
    if (app === undefined) return
    const failing = { upload: () => Promise.reject(new TypeError('😀 дом')) }
    const storage = app.storage({ services: { test: { ...switchable(), ...failing } } })
    await storage.migrate()
    await storage.record('User', 1).photo.attachLater(text('x', name))
    assert.equal((await storage.drain()).failed, 1)
    assert.match(
      (await storage.delayedUploads.list({ state: 'failed' }))[0]?.lastError ?? '',
      /😀 дом/,
    )
  })

  test(`${charset}: record names and ids that the columns cannot hold are refused with the reason`, async (t) => {
    const ids = railsTables(charset).map((sql) =>
      sql.replace(/(record_id|uploadable_id) bigint/, '$1 varchar(100)'),
    )
    const app = await old(t, charset, ids)
    if (app === undefined) return
    const storage = app.storage({ recordId: 'text' })
    await storage.migrate()
    const { photo } = storage.record('User', '😀')
    for (const call of [
      () => photo.attachment(),
      () => photo.attachLater(text('x')),
      () => photo.attach(text('x')),
    ])
      await assert.rejects(call(), { code: 'INVALID_INPUT', message: /character set/ })
  })

  test(`${charset}: migrate --print-utf8mb4 prints SQL that changes only the character set of columns`, async (t) => {
    const app = await old(t, charset)
    if (app === undefined) return
    const storage = app.storage()
    await storage.migrate()
    await storage.record('User', 1).photo.attach(text('x', 'é.txt'))
    const shape = await app.shape()
    const printed = await print(t, app.storage())
    assert.deepEqual(await app.shape(), shape)
    for (const sql of printed.split(/;\n*/).filter((each) => each !== '')) await app.run(sql)
    assert.match(await print(t, app.storage()), /^-- Nothing to do/)
    const [blobs] = await app.run('show create table active_storage_blobs')
    const made = String(blobs?.['Create Table'])
    assert.match(made, /`key` varchar\(255\) .*NOT NULL COMMENT 'it''s "a" key'/)
    assert.match(made, /`filename` varchar\(40\) .*NOT NULL DEFAULT 'none'/)
    assert.match(made, /`content_type` varchar\(255\) .*DEFAULT NULL/)
    const again = app.storage()
    await again.migrate()
    const { photo } = again.record('User', 1)
    assert.equal((await photo.attachment())?.filename, 'é.txt')
    await photo.attachLater(text('y', name))
    await again.drain({ throwOnError: true })
    assert.equal((await photo.attachment())?.filename, name)
  })
}

test('a connection whose character set would lose names is refused with what to do', async (t) => {
  const made = await (kinds.find(({ name }) => name === 'MariaDB') ?? assert.fail()).create()
  if (made === null) return t.skip('MariaDB: no server answered')
  const pool = mysql2.createPool({ uri: made.url, charset: 'latin1' })
  const storage = storageOn(mysql(pool) as never, models, switchable())
  t.after(async () => {
    await storage.close()
    await pool.end()
    await made.close()
  })
  await assert.rejects(storage.migrate(), {
    code: 'CONFIGURATION',
    message: /is in latin1, .*charset: 'utf8mb4'/,
  })
})

test('PostgreSQL: a LATIN1 database refuses what it cannot hold, and takes the rest', async (t) => {
  const made = await (kinds.find(({ name }) => name === 'PostgreSQL') ?? assert.fail()).create()
  if (made === null) return t.skip('PostgreSQL: no server answered and none could be brought up')
  const name = `${new URL(made.url).pathname.slice(1)}_latin1`
  await made.database.open()
  await made.database.executor.run(
    `create database ${name} encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0`,
    [],
  )
  const storage = storageOn(
    postgres(made.url.replace(/\/[^/]*$/, `/${name}`)) as never,
    models,
    switchable(),
  )
  t.after(async () => {
    await storage.close()
    await made.database.executor.run(`drop database ${name}`, [])
    await made.database.close()
    await made.close()
  })
  await storage.migrate()
  const { photo } = storage.record('User', 1)
  await assert.rejects(photo.attachLater(text('x', '日本.txt')), {
    code: 'INVALID_INPUT',
    message: /character set/,
  })
  assert.equal((await photo.attach(text('x', 'é.txt')))?.filename, 'é.txt')
})
