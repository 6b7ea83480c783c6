// Real rows of the Ruby gem, with their databases, are finished here.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, describe, test } from 'node:test'
import { createActiveStorage, hasManyAttached, hasOneAttached } from '../src/index.ts'
import type { Database } from '../src/adapters.ts'
import { MalformedFilesError, parseFilesText } from '../src/gem/files-text.ts'
import { sharp } from '../src/images/sharp.ts'
import { memory } from '../src/services/memory.ts'
import { kinds, closeDatabases, type Kind } from './support/databases.ts'
import { toLogger } from './support/logger.ts'
import { runTwice } from './support/run-twice.ts'
import { retries } from './support/storage.ts'

after(() => closeDatabases())

interface ExpectedBlob {
  readonly filename_column: string
  readonly filename_pattern?: string
  readonly content_type: string
  readonly byte_size: number
  readonly checksum: string
  readonly key: string
  readonly key_pattern?: string
}
interface Vectors {
  readonly ddl: { readonly postgres: string; readonly sqlite: readonly string[] }
  readonly objects: Readonly<Record<string, string>>
  readonly tables: Readonly<
    Record<string, readonly Readonly<Record<string, string | number | boolean | null>>[]>
  >
  readonly rows: readonly {
    case: string
    row: number
    record: string
    attachment: string
    blobs: ExpectedBlob[]
    removed: number[]
    kept: number[]
  }[]
}
const vectors = JSON.parse(
  await readFile(new URL('vectors/gem-rows.json', import.meta.url), 'utf8'),
) as Vectors
const order = [
  'users',
  'people',
  'active_storage_blobs',
  'active_storage_attachments',
  'activestorage_delayed_uploads',
]

async function loaded(kind: Kind, told: string[] = []) {
  const made = await kind.create()
  if (made === null) return null
  const run = (sql: string) => made.database.executor.run(sql, [])
  const literal = (value: string | number | boolean | null): string =>
    value === null
      ? 'null'
      : typeof value === 'string'
        ? `'${value.replaceAll("'", "''")}'`
        : typeof value === 'boolean' && kind.name === 'SQLite'
          ? String(Number(value))
          : String(value)
  for (const statement of kind.name === 'SQLite' ? vectors.ddl.sqlite : [vectors.ddl.postgres])
    await run(statement)
  for (const table of order)
    for (const row of vectors.tables[table] ?? [])
      await run(
        `insert into ${table} (${Object.keys(row)
          .map((name) => `"${name}"`)
          .join(', ')}) values (${Object.values(row).map(literal).join(', ')})`,
      )
  if (kind.name === 'PostgreSQL')
    for (const table of order)
      await run(`select setval('${table}_id_seq', (select max(id) + 1 from ${table}))`)
  const service = memory()
  for (const [key, data] of Object.entries(vectors.objects))
    (service.objects as Map<string, Buffer>).set(key, Buffer.from(data, 'base64'))
  const hooks = {
    errorUpload: (_record: unknown, error: Error, file: { filename: string }) =>
      void told.push(`${file.filename}: ${error.name}`),
  }
  const extension = (name: string): string => /\.[^.]+$/.exec(name)?.[0] ?? ''
  const storage = createActiveStorage({
    database: made.database as Database<never>,
    services: { [String(vectors.tables['active_storage_blobs']?.[0]?.['service_name'])]: service },
    secretKeyBase: 'a secret of the tests',
    images: sharp(),
    retries,
    logger: false,
    gem: { moveAfter: '0s' },
    findRecord: {
      CustomNamed: async (id) => ({
        id,
        name: String(
          (await run(`select name from users where id = ${Number(id)}`)).rows[0]?.['name'],
        ),
      }),
    },
    models: {
      User: { photo: hasOneAttached(hooks), certificates: hasManyAttached(hooks) },
      Named: {
        photo: hasOneAttached({ useFilename: true }),
        certificates: hasManyAttached({ useFilename: true }),
      },
      CustomNamed: {
        photo: hasOneAttached({
          useFilename: (user: { id: string; name: string }, name) =>
            `${user.id}-${user.name.toLowerCase().replaceAll(' ', '-')}${extension(name)}`,
        }),
        certificates: hasManyAttached({ useFilename: (_user: unknown, name) => `custom_${name}` }),
      },
      Vart: {
        photo: hasOneAttached({ ...hooks, variantInfo: { resizeToFit: [40, 40], convert: 'jpg' } }),
      },
      Person: { photo: hasOneAttached(), certificates: hasManyAttached() },
    },
  })
  await storage.migrate()
  return { made, run, service, storage }
}

const escaped = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&')

/** Results that differ from those of the gem's job, which are wrong, by row. */
const better: Readonly<
  Record<number, Partial<{ blobs: ExpectedBlob[]; removed: number[]; kept: number[] }>>
> = {
  30: { removed: [], kept: [10, 11] },
  47: {
    blobs: [
      {
        filename_column: `${'n'.repeat(240)}.txt`,
        content_type: 'text/plain',
        byte_size: 7,
        checksum: 'ZE0lNw+exNL8S11p3GrnjQ==',
        key: 'random28',
      },
    ],
  },
  48: {
    blobs: [
      {
        filename_column: 'a.txt',
        content_type: 'text/plain',
        byte_size: 7,
        checksum: 'ZE0lNw+exNL8S11p3GrnjQ==',
        key: 'random28',
      },
    ],
  },
}

for (const kind of kinds.filter(({ name }) => name !== 'MariaDB'))
  describe(kind.name, () => {
    const skip = `${kind.name}: ${kind.why ?? 'not to be had here'}`

    test('each row ends as the gem would end it, or better', async (t) => {
      const told: string[] = []
      const app = await loaded(kind, told)
      if (app === null) return t.skip(skip)
      t.after(async () => {
        await app.storage.close()
        await app.made.close()
      })
      for (let round = 0; round < 3; round += 1) await app.storage.drain()
      for (const vector of vectors.rows) {
        const [type = '', id = ''] = vector.record.replace('Admin', 'Person').split('#')
        const expected = { ...vector, ...better[vector.row] }
        const { rows } = await app.run(
          `select a.id, b.filename, b.content_type, b.byte_size, b.checksum, b.key as object_key from active_storage_attachments a join active_storage_blobs b on b.id = a.blob_id where a.record_type = '${type}' and a.record_id = ${id} and a.name = '${vector.attachment}' order by a.created_at, a.id`,
        )
        const known = new Set(
          (vectors.tables['active_storage_attachments'] ?? []).map((row) => Number(row['id'])),
        )
        const fresh = rows.filter((row) => !known.has(Number(row['id'])))
        assert.deepEqual(
          rows.filter((row) => known.has(Number(row['id']))).map((row) => Number(row['id'])),
          expected.kept,
          vector.case,
        )
        assert.equal(fresh.length, expected.blobs.length, vector.case)
        for (const [index, blob] of expected.blobs.entries()) {
          const row = fresh[index]!
          assert.match(
            String(row['filename']),
            new RegExp(blob.filename_pattern ?? `^${escaped(blob.filename_column)}$`, 's'),
            vector.case,
          )
          assert.match(
            String(row['object_key']),
            new RegExp(
              blob.key_pattern ??
                (blob.key === 'random28' ? '^[0-9a-z]{28}$' : `^${escaped(blob.key)}$`),
            ),
            vector.case,
          )
          assert.deepEqual(
            [row['content_type'], Number(row['byte_size']), row['checksum']],
            [blob.content_type, blob.byte_size, blob.checksum],
            vector.case,
          )
          assert.equal(
            app.service.objects.get(String(row['object_key']))?.length,
            blob.byte_size,
            vector.case,
          )
        }
      }
      assert.deepEqual(told, ['a.txt: InvariableError'])
      const [failed, ...others] = await app.storage.delayedUploads.list()
      assert.deepEqual(
        [failed?.record, failed?.state, others.length],
        [{ type: 'Vart', id: '44' }, 'failed', 0],
      )
      assert.equal((await failed?.files[0]?.download())?.toString(), 'hello a')
      const attached = (
        await app.run(
          'select b.key as object_key from active_storage_blobs b join active_storage_attachments a on a.blob_id = b.id',
        )
      ).rows
      assert.deepEqual(
        [...app.service.objects.keys()].toSorted(),
        attached.map((row) => String(row['object_key'])).toSorted(),
      )
    })

    test('a late Rails job finds no work for a moved row, and stops at one of our rows', async (t) => {
      const app = await loaded(kind)
      if (app === null) return t.skip(skip)
      t.after(async () => {
        await app.storage.close()
        await app.made.close()
      })
      await app.storage.sweep()
      // The gem's job first finds its row by id, then parses the files.
      for (const row of vectors.tables['activestorage_delayed_uploads'] ?? [])
        assert.deepEqual(
          (
            await app.run(
              `select files from activestorage_delayed_uploads where id = ${Number(row['id'])}`,
            )
          ).rows,
          [],
        )
      const ours = (await app.run('select files from activestorage_delayed_uploads')).rows
      assert.ok(ours.length > 10)
      for (const row of ours) assert.throws(() => JSON.parse(String(row['files'])) as unknown)
    })

    test('a young row waits for its Rails job, and later uploads of its lane wait too', async (t) => {
      const app = await loaded(kind)
      if (app === null) return t.skip(skip)
      t.after(async () => {
        await app.storage.close()
        await app.made.close()
      })
      await app.run('delete from activestorage_delayed_uploads where id <> 11')
      await app.run(
        `update activestorage_delayed_uploads set created_at = ${kind.name === 'SQLite' ? "strftime('%Y-%m-%d %H:%M:%f', 'now', '+1 hours')" : "now() at time zone 'utc' + interval '1 hour'"}`,
      )
      const { certificates } = app.storage.record('User', 10)
      await certificates.attachLater(new File(['later'], 'later.txt'))
      await app.storage.drain()
      assert.deepEqual(await certificates.attachments(), [])
      await app.run(
        "update activestorage_delayed_uploads set created_at = '2020-01-01 00:00:00', run_at = 0",
      )
      await app.storage.drain()
      await app.storage.drain()
      assert.deepEqual(
        (await certificates.attachments()).map((file) => file.filename),
        ['a.txt', 'later.txt'],
      )
    })

    test('a row that cannot be read is logged once when its transaction runs twice', async (t) => {
      const errors: string[] = []
      const isFailure = (statements: readonly string[]): boolean =>
        statements.some((sql) => /^update .*uploads.* set .*last_error/.test(sql))
      const app = await loaded(kind)
      if (app === null) return t.skip(skip)
      t.after(async () => {
        await app.storage.close()
        await app.made.close()
      })
      await app.run('delete from activestorage_delayed_uploads where id <> 11')
      await app.run(`update activestorage_delayed_uploads set files = '[{"io":"aGVsbG8gY'`)
      const storage = createActiveStorage({
        database: runTwice(app.made.another(), isFailure),
        services: { test: memory() },
        models: { User: { certificates: hasManyAttached() } },
        secretKeyBase: 'a secret of the tests',
        gem: { moveAfter: '0s' },
        logger: toLogger({ error: (message) => void errors.push(message) }),
      })
      await storage.sweep()
      await storage.close()
      assert.equal(errors.length, 1)
      assert.match(errors[0] ?? '', /^A row that the gem wrote cannot be moved/)
    })

    test('a row that cannot be read fails in place, and is read again after a repair', async (t) => {
      const app = await loaded(kind)
      if (app === null) return t.skip(skip)
      t.after(async () => {
        await app.storage.close()
        await app.made.close()
      })
      await app.run('delete from activestorage_delayed_uploads where id <> 11')
      await app.run(
        `update activestorage_delayed_uploads set files = '[{"io":"aGVsbG8gY', deleted_ids = '1'`,
      )
      await app.storage.drain()
      const [failed] = await app.storage.delayedUploads.list({ state: 'failed' })
      assert.match(failed?.lastError ?? '', /cannot be read/)
      assert.equal(
        (await app.run('select files from activestorage_delayed_uploads where id = 11')).rows[0]?.[
          'files'
        ],
        '[{"io":"aGVsbG8gY',
      )
      await app.run(
        `update activestorage_delayed_uploads set files = '[{"content_type":null,"filename":"x.txt","io":"aGVsbG8="}]'`,
      )
      await failed?.retry()
      await app.storage.drain()
      assert.deepEqual(
        (await app.storage.record('User', 10).certificates.attachments()).map(
          (file) => file.filename,
        ),
        ['x.txt'],
      )
    })
  })

test('the text is read in slices of any size, and text of other writers is refused', async () => {
  const files = [
    {
      io: Buffer.alloc(10_000, 'ab').toString('base64').replaceAll(/.{60}/g, '$&\n'),
      filename: 'a"\\/é\u2028😀.txt',
      content_type: 'text/plain',
    },
    { io: '', filename: '', content_type: null },
  ]
  const json = JSON.stringify(files).replaceAll('\u2028', '\\u2028')
  for (const size of [1, 2, 3, 7, 64, 5000, 1 << 20]) {
    const slices = async function* (): AsyncGenerator<string> {
      for (let at = 0; at < json.length; at += size) yield json.slice(at, at + size)
    }
    const read: { filename: string; bytes: Buffer }[] = []
    let bytes: Buffer[] = []
    for await (const piece of parseFilesText(slices()))
      if (piece.kind === 'bytes') bytes.push(piece.data)
      else {
        read.push({ filename: piece.filename, bytes: Buffer.concat(bytes) })
        bytes = []
      }
    assert.deepEqual(
      read.map((file) => [file.filename, file.bytes.length]),
      [
        ['a"\\/é\u2028😀.txt', 10_000],
        ['', 0],
      ],
      `slices of ${size}`,
    )
  }
  for (const bad of [
    '',
    'null',
    '{}',
    '[',
    '[{}]',
    '[{"io":"a"}]',
    '[{"io":"####","filename":"a"}]',
    '[{"io":"aGV","filename":"a"}]',
    '[{"io":"aGVs","filename":"a"}] x',
    '[{"io":"aGVs","filename":"a"}',
    '[{"io":"aG=s","filename":"a"}]',
    '[{"io":null,"filename":"a"}]',
  ])
    await assert.rejects(
      async () => {
        for await (const piece of parseFilesText(
          (async function* () {
            yield bad
          })(),
        ))
          void piece
      },
      MalformedFilesError,
      bad,
    )
})
