import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, describe, test, type TestContext } from 'node:test'
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  type ActiveStorage,
  type Models,
} from '../src/index.ts'
import type { Database } from '../src/adapters.ts'
import { kinds, closeDatabases, type Kind } from './support/databases.ts'
import { storageOn, switchable, text, type Switchable } from './support/storage.ts'

after(() => closeDatabases())
const models = { User: { photo: hasOneAttached() } }
const two = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }

interface Options {
  readonly recordId?: 'bigint' | 'uuid' | 'text'
  readonly tables?: { readonly prefix?: string; readonly schema?: string }
}

/** An empty database, and any number of storages on it. */
async function empty(t: TestContext, kind: Kind) {
  const made = await kind.create()
  if (made === null) {
    t.skip(`${kind.name}: ${kind.why ?? ''}`)
    return null
  }
  const storages: { close(): Promise<void> }[] = [made.database]
  t.after(async () => {
    for (const storage of storages) await storage.close()
    await made.close()
  })
  await made.database.open()
  const run = async (sql: string) => (await made.database.executor.run(sql, [])).rows
  return {
    run,
    database: made.database,
    storage<const M extends Models>(
      given: M,
      service: Switchable,
      options: Options,
      database: Database<never> = made.database,
    ): ActiveStorage<M, never> {
      const storage = createActiveStorage({
        database,
        services: { test: service },
        models: given,
        secretKeyBase: 'a secret of the tests',
        logger: false,
        ...options,
      } as never) as unknown as ActiveStorage<M, never>
      storages.push(storage)
      return storage
    },
    async tables(): Promise<string[]> {
      const rows = await run(
        {
          SQLite:
            "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'",
          PostgreSQL:
            "select case schemaname when 'public' then '' else schemaname || '.' end || tablename as name from pg_tables where schemaname not in ('pg_catalog', 'information_schema')",
          MariaDB:
            'select table_name as name from information_schema.tables where table_schema = database()',
        }[kind.name] ?? '',
      )
      return rows.map((row) => String(row['name'])).toSorted()
    },
  }
}
type Empty = NonNullable<Awaited<ReturnType<typeof empty>>>

const serial: Readonly<Record<string, string>> = {
  SQLite: 'integer PRIMARY KEY AUTOINCREMENT NOT NULL',
  PostgreSQL: 'bigserial primary key',
  MariaDB: 'bigint NOT NULL AUTO_INCREMENT PRIMARY KEY',
}

/** Lists the statements with which a version of Rails makes the tables, columns and indexes. */
function railsTables(kind: Kind, version: string, recordId: string = 'bigint'): string[] {
  const id = `id ${serial[kind.name]}`
  const string = kind.name === 'MariaDB' ? 'varchar(255)' : 'varchar'
  const time = `${kind.name === 'PostgreSQL' ? 'timestamp' : 'datetime'}${version === '6.1' ? '' : '(6)'}`
  const key = kind.name === 'MariaDB' ? '`key`' : '"key"'
  const end = kind.name === 'MariaDB' ? 'ENGINE=InnoDB DEFAULT CHARSET=utf8mb4' : ''
  return [
    `CREATE TABLE active_storage_blobs (${id}, ${key} ${string} NOT NULL, filename ${string} NOT NULL, content_type ${string}, metadata text, service_name ${string} NOT NULL, byte_size bigint NOT NULL, checksum ${string}${version === '6.1' ? ' NOT NULL' : ''}, created_at ${time} NOT NULL) ${end}`,
    `CREATE UNIQUE INDEX index_active_storage_blobs_on_key ON active_storage_blobs (${key})`,
    `CREATE TABLE active_storage_attachments (${id}, name ${string} NOT NULL, record_type ${string} NOT NULL, record_id ${recordId} NOT NULL, blob_id bigint NOT NULL, created_at ${time} NOT NULL, CONSTRAINT fk_rails_c3b3935057 FOREIGN KEY (blob_id) REFERENCES active_storage_blobs (id)) ${end}`,
    'CREATE INDEX index_active_storage_attachments_on_blob_id ON active_storage_attachments (blob_id)',
    'CREATE UNIQUE INDEX index_active_storage_attachments_uniqueness ON active_storage_attachments (record_type, record_id, name, blob_id)',
    `CREATE TABLE active_storage_variant_records (${id}, blob_id bigint NOT NULL, variation_digest ${string} NOT NULL, CONSTRAINT fk_rails_993965df05 FOREIGN KEY (blob_id) REFERENCES active_storage_blobs (id)) ${end}`,
    'CREATE UNIQUE INDEX index_active_storage_variant_records_uniqueness ON active_storage_variant_records (blob_id, variation_digest)',
  ]
}

/** All that Rails would find changed: its rows, and how its tables are made. */
async function railsState({ run }: Empty, kind: Kind): Promise<unknown[]> {
  const names = [
    'active_storage_blobs',
    'active_storage_attachments',
    'active_storage_variant_records',
  ]
  const state: unknown[] = []
  for (const name of names) state.push(...(await run(`select * from ${name} order by id`)))
  const looks: Readonly<Record<string, readonly string[]>> = {
    SQLite: [
      "select name, sql from sqlite_master where tbl_name like 'active_storage_%' order by name",
    ],
    PostgreSQL: [
      "select table_name, column_name, data_type, is_nullable, column_default, datetime_precision from information_schema.columns where table_name like 'active_storage_%' order by 1, 2",
      "select indexdef from pg_indexes where tablename like 'active_storage_%' order by 1",
    ],
    MariaDB: names.map((name) => `show create table ${name}`),
  }
  // A counter of MariaDB's stands in there.
  for (const look of looks[kind.name] ?? [])
    state.push(
      ...(await run(look)).map((row) => JSON.stringify(row).replace(/AUTO_INCREMENT=\d+/, '')),
    )
  return state.map((row) => (typeof row === 'string' ? row : { ...(row as object) }))
}

const configuration = { code: 'CONFIGURATION' }

for (const kind of kinds)
  describe(kind.name, () => {
    test('many pods migrate at once, and again', async (t) => {
      const made = await kind.create()
      if (made === null) return t.skip(`${kind.name}: ${kind.why ?? ''}`)
      const service = switchable()
      const pods = Array.from({ length: 6 }, () => storageOn(made.another(), models, service))
      t.after(async () => {
        for (const pod of pods) await pod.close()
        await made.close()
      })
      await Promise.all(pods.map((pod) => pod.migrate()))
      await pods[0]!.migrate()
      await pods[0]!.record('User', 1).photo.attachLater(text('x'))
      await pods[1]!.drain()
      assert.equal((await pods[2]!.record('User', 1).photo.attachment())?.filename, 'x.txt')
    })

    test("the gem's table is adopted, and its rows are finished", async (t) => {
      const made = await kind.create()
      if (made === null) return t.skip(`${kind.name}: ${kind.why ?? ''}`)
      const storage = storageOn(made.database, models, switchable())
      t.after(async () => {
        await storage.close()
        await made.close()
      })
      await made.database.open()
      const id = {
        SQLite: 'integer primary key autoincrement',
        PostgreSQL: 'bigserial primary key',
        MariaDB: 'bigint primary key auto_increment',
      }[kind.name]
      const time = kind.name === 'PostgreSQL' ? 'timestamp(6)' : 'datetime(6)'
      const run = (sql: string) => made.database.executor.run(sql, [])
      await run(
        `create table activestorage_delayed_uploads (id ${id}, uploadable_type varchar(255), uploadable_id bigint, attr_name varchar(255), deleted_ids varchar(255) default '', clean_before boolean default false, files text, created_at ${time} not null, updated_at ${time} not null)`,
      )
      await run(
        `insert into activestorage_delayed_uploads (uploadable_type, uploadable_id, attr_name, files, created_at, updated_at) values ('User', 1, 'photo', '[{"io":"eA==","filename":"x.txt","content_type":"text/plain"}]', '2026-01-01 00:00:00', '2026-01-01 00:00:00')`,
      )
      await storage.migrate()
      await storage.drain()
      assert.equal(
        (await (await storage.record('User', 1).photo.attachment())?.download())?.toString(),
        'x',
      )
      assert.deepEqual((await run('select id from activestorage_delayed_uploads')).rows, [])
    })

    for (const version of ['6.1', '7.2', '8.1'])
      test(`tables and rows of Rails ${version} are adopted unchanged`, async (t) => {
        const app = await empty(t, kind)
        if (app === null) return
        const { run } = app
        for (const sql of railsTables(kind, version)) await run(sql)
        const key = kind.name === 'MariaDB' ? '`key`' : '"key"'
        const at = "'2021-03-04 05:06:07.123456'"
        // Composed blobs have no checksum since 7.0; metadata is null where Rails wrote none.
        await run(`insert into active_storage_blobs (${key}, filename, content_type, metadata, service_name, byte_size, checksum, created_at) values
          ('abcdefghijklmnopqrstuvwxyz01', 'été 📷.png', 'image/png', '{"identified":true,"width":10,"height":20,"analyzed":true}', 'test', 5, 'XUFAKrxLKna5cZ2REBfFkg==', ${at}),
          ('abcdefghijklmnopqrstuvwxyz02', 'a b.pdf', null, null, 'test', 6, ${version === '6.1' ? "'qfDmGhN9hqqdtTRl4IAWEg=='" : 'null'}, ${at})`)
        await run(
          `insert into active_storage_attachments (name, record_type, record_id, blob_id, created_at) values ('photo', 'User', 1, 1, ${at}), ('docs', 'User', 1, 2, ${at}), ('docs', 'Admin', 1, 2, ${at})`,
        )
        await run(
          "insert into active_storage_variant_records (blob_id, variation_digest) values (1, 'bWVoIPCfkbsgbm90IGEgZGlnZXN0')",
        )
        const before = await railsState(app, kind)

        const service = switchable()
        for (const [name, content] of [
          ['01', 'hello'],
          ['02', 'second'],
        ] as const)
          await service.upload(`abcdefghijklmnopqrstuvwxyz${name}`, new Blob([content]).stream(), {
            byteSize: content.length,
            checksum: createHash('md5').update(content).digest('base64'),
            contentType: 'text/plain',
          })
        const storage = app.storage(two, service, {})
        await storage.migrate()
        assert.deepEqual(await railsState(app, kind), before)

        const user = storage.record('User', 1)
        const photo = await user.photo.attachment()
        assert.equal((await photo?.download())?.toString(), 'hello')
        assert.deepEqual(
          [photo?.filename, photo?.contentType, photo?.checksum, photo?.blob.metadata],
          [
            'été 📷.png',
            'image/png',
            'XUFAKrxLKna5cZ2REBfFkg==',
            { identified: true, width: 10, height: 20, analyzed: true },
          ],
        )
        assert.equal(
          photo?.createdAt.toISOString(),
          `2021-03-04T05:06:07.${version === '6.1' && kind.name === 'MariaDB' ? '000' : '123'}Z`,
        )
        const [doc] = await user.docs.attachments()
        assert.deepEqual(
          [
            doc?.filename,
            doc?.contentType,
            doc?.blob.metadata,
            (await doc?.download())?.toString(),
          ],
          ['a b.pdf', 'application/octet-stream', {}, 'second'],
        )

        await user.docs.attachLater({ files: text('new'), deletedIds: [doc!.id] })
        await user.photo.attach(text('newer'))
        await storage.drain({ throwOnError: true })
        assert.deepEqual(
          (await user.docs.attachments()).map(({ filename }) => filename),
          ['new.txt'],
        )
        assert.equal((await user.photo.attachment())?.filename, 'newer.txt')
        // The first photo went with its variant; the document is another record's too.
        assert.deepEqual(
          (await run('select filename from active_storage_blobs order by id')).map(
            ({ filename }) => filename,
          ),
          ['a b.pdf', 'newer.txt', 'new.txt'],
        )
        assert.deepEqual(await run('select id from active_storage_variant_records'), [])
        if (kind.name === 'SQLite')
          for (const { created_at: ours } of await run(
            'select created_at from active_storage_blobs',
          ))
            assert.match(String(ours), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/)
      })

    test('a column that does not fit recordId is refused by migrate and first use, before any write', async (t) => {
      const uuid = kind.name === 'PostgreSQL' ? 'uuid' : 'char(36)'
      const fitting: Readonly<Record<string, readonly string[]>> = {
        bigint: ['bigint'],
        [uuid]: kind.name === 'PostgreSQL' ? ['uuid'] : ['uuid', 'text'],
        'varchar(36)': ['uuid', 'text'],
      }
      for (const [type, fits] of Object.entries(fitting)) {
        const app = await empty(t, kind)
        if (app === null) return
        for (const sql of railsTables(kind, '8.1', type)) await app.run(sql)
        const tables = await app.tables()
        const id = '0190e2a1-1111-7abc-8def-000000000001'
        for (const recordId of (['bigint', 'uuid', 'text'] as const).filter(
          (each) => !fits.includes(each),
        )) {
          const refused = {
            ...configuration,
            message: new RegExp(
              `record_id is .*recordId is '${recordId}'.*pass recordId: '${fits[0] === 'bigint' ? 'bigint' : ''}`,
            ),
          }
          const user = app
            .storage(two, switchable(), { recordId })
            .record('User', recordId === 'bigint' ? 1 : id)
          await assert.rejects(user.photo.attachment(), refused)
          await assert.rejects(user.photo.attachLater(text('x')), refused)
          const inTransaction = app.storage(two, switchable(), { recordId })
          await assert.rejects(
            inTransaction.transaction((tx) =>
              inTransaction
                .record('User', recordId === 'bigint' ? 1 : id, { transaction: tx })
                .docs.attachments(),
            ),
            refused,
          )
          await assert.rejects(app.storage(two, switchable(), { recordId }).migrate(), refused)
          assert.deepEqual(await app.tables(), tables)
        }
        for (const recordId of fits)
          assert.equal(
            await app
              .storage(two, switchable(), { recordId: recordId as 'uuid' })
              .record('User', recordId === 'bigint' ? 1 : id)
              .photo.attachment(),
            null,
          )
        const recordId = fits.at(-1) as 'text'
        const storage: ActiveStorage<typeof two, never> = app.storage(two, switchable(), {
          recordId,
        })
        await storage.migrate()
        const { photo } = storage.record('User', type === 'bigint' ? 1 : id)
        await photo.attachLater(text('fits'))
        await storage.drain({ throwOnError: true })
        assert.equal((await photo.attachment())?.filename, 'fits.txt')
      }
      const gem = await empty(t, kind)
      await gem?.run(
        `create table activestorage_delayed_uploads (id ${serial[kind.name]}, uploadable_id bigint, files text)`,
      )
      await assert.rejects(gem!.storage(two, switchable(), { recordId: 'text' }).migrate(), {
        ...configuration,
        message: /uploadable_id is /,
      })
    })

    test("without the tables, or with only the gem's, every call says to migrate", async (t) => {
      for (const isGem of [false, true]) {
        const app = await empty(t, kind)
        if (app === null) return
        if (isGem) {
          for (const sql of railsTables(kind, '8.1')) await app.run(sql)
          await app.run(
            `create table activestorage_delayed_uploads (id ${serial[kind.name]}, uploadable_type varchar(255), uploadable_id bigint, attr_name varchar(255), deleted_ids varchar(255), clean_before boolean, files text, created_at date not null, updated_at date not null)`,
          )
        }
        const storage = app.storage(two, switchable(), {})
        const user = storage.record('User', 1)
        const calls = [
          () => user.photo.delayedUploads(),
          () => user.photo.attachLater(text('x')),
          () => user.photo.attach(text('x')),
          () => storage.stage(text('x')),
          () =>
            storage.transaction((tx) =>
              storage.record('User', 1, { transaction: tx }).photo.attachLater(text('x')),
            ),
          () => storage.drain(),
          () => storage.delayedUploads.stats(),
        ]
        for (const call of calls)
          await assert.rejects(call(), { ...configuration, message: /storage\.migrate\(\)/ })
        await storage.migrate()
        await user.photo.attachLater(text('x'))
        await storage.drain({ throwOnError: true })
        assert.equal(await user.photo.attached(), true)
      }
    })

    const places = [
      [{ prefix: 'one_' }, { prefix: 'Two_' }],
      ...(kind.name === 'PostgreSQL'
        ? [
            [{ schema: 'apart' }, {}],
            [{}, { schema: 'Apart', prefix: 'p_' }],
          ]
        : []),
    ] as const
    for (const [first, second] of places)
      test(`tables ${JSON.stringify(first)} and ${JSON.stringify(second)} work in one database`, async (t) => {
        const app = await empty(t, kind)
        if (app === null) return
        const services = [switchable(), switchable()] as const
        const one = app.storage(two, services[0], { tables: first })
        const other = app.storage({ Product: { photo: hasOneAttached() } }, services[1], {
          tables: second,
        })
        await one.migrate()
        await other.migrate()
        const own = ({
          schema,
          prefix = 'activestorage_delayed_',
        }: NonNullable<Options['tables']>): string[] =>
          ['files', 'chunks', 'jobs', 'workers', ...(kind.name === 'SQLite' ? [] : ['locks'])].map(
            (name) => `${schema === undefined ? '' : `${schema}.`}${prefix}${name}`,
          )
        const shared = [
          'active_storage_attachments',
          'active_storage_blobs',
          'active_storage_variant_records',
          'activestorage_delayed_uploads',
        ]
        assert.deepEqual(await app.tables(), [...shared, ...own(first), ...own(second)].toSorted())

        // No transaction is begun, because nothing is missing.
        for (const tables of [first, second]) {
          const database = {
            ...app.database,
            transaction: () => Promise.reject(new Error('migrated twice')),
          } as Database<never>
          await app.storage(two, switchable(), { tables }, database).migrate()
        }

        const user = one.record('User', 1)
        const product = other.record('Product', 1)
        const staged = await one.stage(text('staged'))
        await assert.rejects(product.photo.attachLater(staged.signedId), {
          code: 'STAGED_FILE_EXPIRED',
        })
        await one.transaction((tx) =>
          one
            .record('User', 1, { transaction: tx })
            .attachLater({ photo: text('one'), docs: [text('a'), text('b')] }),
        )
        await product.photo.attachLater(text('other'))
        assert.deepEqual(
          await Promise.all(
            [one, other].map(async (storage) =>
              (await storage.delayedUploads.list())
                .flatMap(({ files }) => files.map(({ filename }) => filename))
                .toSorted(),
            ),
          ),
          [['a.txt', 'b.txt', 'one.txt'], ['other.txt']],
        )
        assert.deepEqual(
          [
            (await one.delayedUploads.stats()).stagedBytes,
            (await other.delayedUploads.stats()).stagedBytes,
          ],
          [11, 5],
        )
        await other.sweep()
        assert.deepEqual(
          await other.drain({ throwOnError: true }).then(({ uploaded }) => uploaded),
          1,
        )
        assert.deepEqual([services[0].uploads, services[1].uploads], [0, 1])
        assert.equal((await one.drain({ throwOnError: true })).uploaded, 2)
        assert.equal((await (await user.photo.attachment())?.download())?.toString(), 'one')
        assert.equal((await (await product.photo.attachment())?.download())?.toString(), 'other')
        assert.deepEqual(
          (await user.docs.attachments()).map(({ filename }) => filename),
          ['a.txt', 'b.txt'],
        )
        await user.photo.purgeLater()
        await other.drain({ throwOnError: true })
        assert.equal(services[0].objects.size, 3)
        await one.drain({ throwOnError: true })
        assert.deepEqual([services[0].objects.size, services[1].objects.size], [2, 1])
      })
    test("storages with separate tables and equal models leave each other's pending uploads alone", async (t) => {
      const app = await empty(t, kind)
      if (app === null) return
      const services = [switchable(), switchable()] as const
      const one = app.storage(two, services[0], { tables: { prefix: 'one_' } })
      const other = app.storage(two, services[1], { tables: { prefix: 'other_' } })
      await one.migrate()
      await other.migrate()
      await one.record('User', 1).photo.attachLater(text('x'))
      assert.equal((await other.drain()).uploaded, 0)
      assert.equal((await one.record('User', 1).photo.delayedUploads())[0]?.state, 'pending')
      assert.equal((await one.drain({ throwOnError: true })).uploaded, 1)
      assert.deepEqual([services[0].uploads, services[1].uploads], [1, 0])
    })

    if (kind.name !== 'PostgreSQL')
      test('a schema is refused', async (t) => {
        const app = await empty(t, kind)
        if (app === null) return
        assert.throws(
          () => app.storage(two, switchable(), { tables: { schema: 'apart' } }),
          configuration,
        )
      })
  })

for (const kind of kinds)
  test(`${kind.name}: tables of an unreleased version are refused`, async (t) => {
    const app = await empty(t, kind)
    if (app === null) return
    const storage = app.storage(models, switchable(), { tables: { prefix: 'Own_' } })
    await storage.migrate()
    const q = kind.name === 'MariaDB' ? '`' : '"'
    const refused = { code: 'CONFIGURATION', message: /Own_files .* unreleased version/ }
    await app.run(
      `insert into ${q}Own_files${q} (id, position, filename, content_type, byte_size, state, expires_at, created_at) values ('a', 0, 'a.txt', 'text/plain', 0, 'told', 0, 0)`,
    )
    await assert.rejects(storage.migrate(), refused)
    await app.run(`delete from ${q}Own_files${q}`)
    await storage.migrate()
    if (kind.name === 'SQLite') return
    await app.run(`alter table ${q}Own_locks${q} rename column bucket to slot`)
    await assert.rejects(storage.migrate(), refused)
  })
