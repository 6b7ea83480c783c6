// Records with bigint, uuid or text ids, and Rails' rows in the same columns.
import assert from 'node:assert/strict'
import { after, describe, test, type TestContext } from 'node:test'
import { inspect } from 'node:util'
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  type ActiveStorage,
  type AuthorizeSubject,
  type Id,
} from '../src/index.ts'
import type { Database } from '../src/adapters.ts'
import { kinds, closeDatabases, type Kind } from './support/databases.ts'
import { switchable, text } from './support/storage.ts'

after(() => closeDatabases())

type RecordId = 'bigint' | 'uuid' | 'text'
const models = { User: { photo: hasOneAttached(), certificates: hasManyAttached() } }
const invalid = { code: 'INVALID_INPUT', statusCode: 422 }
const names = (files: readonly { filename: string }[]): string[] =>
  files.map((file) => file.filename)

async function opened(
  t: TestContext,
  kind: Kind,
  recordId: RecordId,
  before: (database: Database<never>) => Promise<void> = () => Promise.resolve(),
) {
  const made = await kind.create()
  if (made === null) {
    t.skip(`${kind.name}: ${kind.why ?? 'not to be had here'}`)
    return null
  }
  const { database } = made
  await before(database)
  const service = switchable()
  const asked: AuthorizeSubject[] = []
  const storage = createActiveStorage({
    database,
    services: { test: service },
    models,
    recordId,
    secretKeyBase: 'a secret of the tests',
    logger: false,
    authorize: (_: Request, subject: AuthorizeSubject) => asked.push(subject) > 0,
  } as never) as unknown as ActiveStorage<typeof models, never>
  t.after(async () => {
    await storage.close()
    await made.close()
  })
  await storage.migrate()
  const query = async (sql: string) => (await database.executor.run(sql, [])).rows
  return {
    storage,
    service,
    asked,
    query,
    ids: async (sql: string) => (await query(sql)).map((row) => String(Object.values(row)[0])),
  }
}
type Opened = NonNullable<Awaited<ReturnType<typeof opened>>>

/** A file for each record, by both ways; each record then has its own two and nothing else. */
async function keepApart({ storage }: Opened, records: readonly Id[]): Promise<void> {
  for (const [index, id] of records.entries()) {
    const user = storage.record('User', id)
    await storage.transaction((tx) =>
      storage
        .record('User', id, { transaction: tx })
        .attachLater({ photo: text(`photo ${index}`) }),
    )
    await user.certificates.attach(text(`certificate ${index}`))
  }
  for (const [index, id] of records.entries())
    assert.deepEqual(
      names(
        await storage
          .record('User', id)
          .photo.delayedUploads()
          .then((all) => all.flatMap(({ files }) => files)),
      ),
      [`photo ${index}.txt`],
    )
  await storage.drain({ throwOnError: true })
  const all = await storage.records('User', records)
  for (const [index, user] of all.entries()) {
    const photo = await user.photo.attachment()
    assert.equal(photo?.filename, `photo ${index}.txt`)
    assert.equal((await photo.download()).toString(), `photo ${index}`)
    assert.deepEqual(names(await user.certificates.attachments()), [`certificate ${index}.txt`])
  }
}

const ID = '0190e2a1-1111-7abc-8def-00000000000'
const records: Readonly<Record<RecordId, readonly Id[]>> = {
  bigint: [1, '2', 9007199254740993n, '9007199254740992', -3, 2n ** 63n - 1n],
  uuid: [`${ID}1`, `${ID}2`.toUpperCase()],
  text: [
    'abc',
    'ABC',
    '7',
    '007',
    'o\'brien"; -- `x`',
    'a\\b',
    'a\\\\b',
    '%',
    'é',
    'e\u0301',
    'ß',
    'ss',
    '履歴書🎉',
    '0190E2A1',
    '1e3',
    '1000',
    'x'.repeat(255),
  ],
}
/** Written differently, and the same record. */
const same: Readonly<Record<RecordId, readonly (readonly [Id, Id])[]>> = {
  bigint: [
    [7, '007'],
    [8n, '08'],
    ['-0', 0],
  ],
  uuid: [[`${ID}A`.toUpperCase(), `${ID}a`]],
  text: [[12, '12']],
}
/** Values that are no id of any type, and that must not be cast to one. */
const noIds: readonly unknown[] = [
  undefined,
  null,
  '',
  true,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  1.5,
  2 ** 53,
  [],
  [1],
  ['1'],
  [`${ID}1`],
  {},
  { toString: () => `${ID}7` },
  { valueOf: () => 7 },
  Object.create(null),
  Object('7'),
  new Date(0),
  Symbol('7'),
  () => 7,
]
const wrong: Readonly<Record<RecordId, readonly unknown[]>> = {
  bigint: [
    ...noIds,
    ' 8 ',
    '8\n',
    'abc',
    '1.5',
    '1e3',
    '0x10',
    '1 or 1=1',
    2n ** 63n,
    '99999999999999999999',
    `${ID}1`,
  ],
  uuid: [
    ...noIds,
    '1',
    7,
    `${ID}`,
    ` ${ID}1`,
    `${ID}1\n`,
    `${ID}1 `.repeat(2),
    `${ID}g`,
    `{${ID}1}`,
    `${ID}1'`.slice(1),
  ],
  text: [...noIds, 'a\0b', 'x'.repeat(256)],
}

/** A blob with a stored object that is the image of one of Rails' own records. */
async function image(
  { storage, query }: Opened,
  type: string,
  name: string,
  record: string,
): Promise<string> {
  const blob = await storage.blobs.createAndUpload(text(`${type} ${record}`))
  await query(
    `insert into active_storage_attachments (name, record_type, record_id, blob_id, created_at) values ('${name}', '${type}', '${record}', '${blob.id}', '2026-01-01 00:00:00')`,
  )
  return blob.path()
}

/**
 * Inserts the rows that Rails makes when a variant of the blob is shown: the variant and its image,
 * and the preview of a document.
 */
async function showVariant(
  app: Opened,
  blobId: string,
  digest: string,
  withImages: boolean,
): Promise<string[]> {
  await app.query(
    `insert into active_storage_variant_records (blob_id, variation_digest) values ('${blobId}', '${digest}')`,
  )
  const [variant] = await app.ids(
    `select id from active_storage_variant_records where blob_id = '${blobId}'`,
  )
  if (!withImages) return []
  return [
    await image(app, 'ActiveStorage::VariantRecord', 'image', variant!),
    await image(app, 'ActiveStorage::Blob', 'preview_image', blobId),
  ]
}

async function purgesVariants(
  app: Opened,
  [first, second, third]: readonly Id[],
  withImages: boolean = true,
): Promise<void> {
  const { storage, service, query, asked } = app
  for (const id of [first!, second!, third!]) {
    const user = storage.record('User', id)
    await user.photo.attach(text(`${String(id)}`))
    const photo = await user.photo.attachment()
    const shown = await showVariant(app, photo!.blob.id, `digest of ${String(id)}`, withImages)
    for (const path of shown) {
      asked.length = 0
      const response = await storage.handler(new Request(`http://app.test${path}`))
      assert.equal(response.status, 302)
      assert.deepEqual(
        asked.map(({ record, name }) => ({ record, name })),
        [{ record: { type: 'User', id: user.id }, name: 'photo' }],
        'authorize is asked for the record of the original',
      )
    }
  }
  const each = withImages ? 3 : 1
  const left = async () => ({
    variants: (
      await app.ids('select variation_digest from active_storage_variant_records')
    ).toSorted(),
    attachments: (await query('select id from active_storage_attachments')).length,
    blobs: (await query('select id from active_storage_blobs')).length,
    objects: service.objects.size,
  })
  assert.deepEqual((await left()).objects, 3 * each)
  await storage.record('User', first!).photo.purge()
  await storage.drain({ throwOnError: true })
  assert.deepEqual(await left(), {
    variants: [second, third].map((id) => `digest of ${String(id)}`).toSorted(),
    attachments: 2 * each,
    blobs: 2 * each,
    objects: 2 * each,
  })
  await storage.record('User', second!).photo.purgeLater()
  await storage.drain({ throwOnError: true })
  assert.deepEqual(await left(), {
    variants: [`digest of ${String(third)}`],
    attachments: each,
    blobs: each,
    objects: each,
  })
  assert.equal(
    (await (await storage.record('User', third!).photo.attachment())?.download())?.toString(),
    String(third),
  )
}

for (const kind of kinds)
  describe(kind.name, () => {
    for (const recordId of ['bigint', 'uuid', 'text'] as const)
      test(recordId, async (t) => {
        const app = await opened(t, kind, recordId)
        if (app === null) return
        const { storage } = app

        await t.test(
          'the variants and previews that Rails made of a blob are deleted with it',
          async () => {
            const ids = {
              bigint: [11, 12, 13],
              uuid: [`${ID}d`, `${ID}e`, `${ID}f`],
              text: ['a', 'b', 'c'],
            }[recordId]
            // A column of uuids cannot hold the integer ids of Rails' own records: Rails rolls such
            // images back.
            await purgesVariants(app, ids, !(recordId === 'uuid' && kind.name === 'PostgreSQL'))
          },
        )

        await t.test('each record has its own files', () => keepApart(app, records[recordId]))

        await t.test('an id may be written in many ways', async () => {
          for (const [given, asked] of same[recordId]) {
            await storage.record('User', given).certificates.attachLater(text('c'))
            await storage.record('User', given).photo.attach(text('p'))
            assert.equal(
              (await storage.record('User', asked).certificates.delayedUploads()).length,
              1,
            )
            await storage.drain({ throwOnError: true })
            assert.deepEqual(
              names(await storage.record('User', asked).certificates.attachments()),
              ['c.txt'],
            )
            const [both, again] = await storage.records('User', [given, asked])
            assert.deepEqual(
              [await both!.photo.attached(), await again!.photo.attached()],
              [true, true],
            )
            assert.equal(both!.id, again!.id)
          }
        })

        await t.test('an invalid id is refused', async () => {
          for (const id of wrong[recordId]) {
            assert.throws(() => storage.record('User', id as Id), invalid, inspect(id))
            await assert.rejects(
              storage.records('User', [records[recordId][0]!, id as Id]),
              invalid,
              inspect(id),
            )
          }
          for (const ids of [undefined, null, 'abc', 7, {}, new Set([1])])
            await assert.rejects(storage.records('User', ids as never), invalid, inspect(ids))
        })
      })
  })

test('PostgreSQL: tables whose own ids are uuids work too, as in Rails', async (t) => {
  const kind = kinds.find(({ name }) => name === 'PostgreSQL')!
  const app = await opened(t, kind, 'uuid', async (database) => {
    const id = 'id uuid not null default gen_random_uuid() primary key'
    for (const sql of [
      `create table active_storage_blobs (${id}, key varchar not null, filename varchar not null, content_type varchar, metadata text, service_name varchar not null, byte_size bigint not null, checksum varchar, created_at timestamp(6) not null)`,
      `create table active_storage_attachments (${id}, name varchar not null, record_type varchar not null, record_id uuid not null, blob_id uuid not null constraint fk_rails_c3b3935057 references active_storage_blobs (id), created_at timestamp(6) not null)`,
      `create table active_storage_variant_records (${id}, blob_id uuid not null constraint fk_rails_993965df05 references active_storage_blobs (id), variation_digest varchar not null)`,
    ])
      await database.executor.run(sql, [])
  })
  if (app === null) return
  const { storage } = app
  await purgesVariants(app, [`${ID}1`, `${ID}2`, `${ID}3`])
  const user = storage.record('User', `${ID}4`)
  await user.certificates.attach([text('a'), text('b'), text('c')])
  const [, b] = await user.certificates.attachments()
  await user.certificates.attachLater({ files: text('d'), deletedIds: [b!.id.toUpperCase()] })
  await storage.drain({ throwOnError: true })
  assert.deepEqual(names(await user.certificates.attachments()), ['a.txt', 'c.txt', 'd.txt'])
  assert.equal(await storage.blobs.findSigned(b!.signedId), null)
  assert.equal(
    (await storage.blobs.findSigned((await user.certificates.attachments())[0]!.signedId))
      ?.filename,
    'a.txt',
  )
})
