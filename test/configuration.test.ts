// Wrong options fail at start-up with the reason.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createActiveStorage, hasManyAttached, hasOneAttached } from '../src/index.ts'
import { mysql } from '../src/database/mysql.ts'
import { postgres } from '../src/database/postgres.ts'
import { sqlite } from '../src/database/sqlite.ts'
import { sharp } from '../src/images/sharp.ts'
import { disk } from '../src/services/disk.ts'
import { memory } from '../src/services/memory.ts'
import { s3 } from '../src/services/s3.ts'

const refused = (run: () => unknown, text: RegExp): void =>
  assert.throws(run, ({ code, message }: { code?: unknown; message: string }) => {
    assert.ok(message.length < 200, message)
    return code === 'CONFIGURATION' && text.test(message)
  })

test('wrong options of an attachment are refused when it is defined', () => {
  refused(() => hasOneAttached({ requird: true } as never), /unknown option 'requird'/)
  refused(() => hasOneAttached({ maxFiles: 3 } as never), /maxFiles/)
  refused(() => hasManyAttached({ maxFiles: 0 }), /above 0/)
  refused(() => hasOneAttached({ maxSize: '10 megabytes' as never }), /10 MB/)
  refused(() => hasOneAttached({ accept: ['png'] as never }), /image\/png/)
  refused(() => hasOneAttached({ afterUpload: 'log' as never }), /afterUpload must be a function/)
  refused(() => hasOneAttached({ variantInfo: { resizeToFitt: [1, 2] } as never }), /resizeToFitt/)
  refused(
    () => hasOneAttached({ variantInfo: { resizeToFit: [1, 2], resizeToFill: [1, 2] } }),
    /exclude each other/,
  )
  refused(() => hasOneAttached({ variantInfo: { resizeToFill: [0, 2] } }), /whole pixels/)
  refused(() => hasOneAttached({ variantInfo: {} }), /variantInfo of hasOneAttached: it is empty/)
  refused(() => hasOneAttached({ accept: [] }), /accept is an empty list/)
  for (const [wrong, right] of [
    ['image/jpg', 'image/jpeg'],
    ['Image/JPG', 'image/jpeg'],
    ['images/*', 'image/*'],
    ['video/mov', 'video/quicktime'],
    ['application/docx', 'application/vnd.openxmlformats-officedocument.wordprocessingml.document'],
  ] as const)
    refused(
      () => hasOneAttached({ accept: ['image/png', wrong] }),
      new RegExp(
        `'${wrong.replace('*', '\\*')}', which is no content type. Write '${right.replace('*', '\\*')}'`,
      ),
    )
  for (const wrong of ['image/pn*', '*/png', 'audio/ogg; codecs=opus', 'a/b/c'] as const)
    refused(() => hasOneAttached({ accept: [wrong] }), /must be a list of content types/)
  hasOneAttached({ accept: ['application/x-new', 'Image/*', '*/*', 'image/pjpeg', 'video/x-m4v'] })
  refused(() => hasOneAttached({ required: 'yes' } as never), /required must be true or false/)
  refused(() => hasOneAttached({ useFilename: 'photo.png' } as never), /useFilename must be/)
  refused(() => hasOneAttached({ keyPrefix: 7 } as never), /keyPrefix must be text/)
  refused(() => hasOneAttached(null as never), /hasOneAttached: give an object/)
  for (const keyPrefix of ['../other', '/etc', 'a//b', 'a/./b'])
    refused(() => hasOneAttached({ keyPrefix }), /keyPrefix/)
  for (const keyPrefix of ['', 'users', 'users/', 'tenant/1']) hasOneAttached({ keyPrefix })
})

test('wrong storage options are refused at start-up', () => {
  const base = {
    database: sqlite(':memory:'),
    services: { local: memory() },
    models: { User: { photo: hasOneAttached() } },
  }
  const wrong = (options: object, text: RegExp): void =>
    refused(() => createActiveStorage({ ...base, ...options } as never), text)
  createActiveStorage(base)
  wrong({ model: {} }, /unknown option 'model'/)
  wrong({ database: undefined }, /database is missing/)
  wrong({ database: 'postgres://localhost/app' }, /database is text, which is no database/)
  wrong({ database: { query() {}, connect() {} } }, /database is an object, which is no database/)
  wrong({ database: { createQueryRunner() {} } }, /is a DataSource.*pass typeorm\(dataSource\)/)
  wrong({ secretkeybase: 'x' }, /'secretkeybase'\. Did you mean secretKeyBase\?/)
  wrong({ secret: 'x' }, /Did you mean secretKeyBase\?/)
  wrong({ autorize: () => true }, /Did you mean authorize\?/)
  wrong({ colour: 'x' }, /'colour'\. The options are/)
  wrong({ services: [memory()] }, /services is a list: give an object by name/)
  wrong({ services: {} }, /services is empty/)
  wrong({ services: { a: memory(), b: memory() } }, /set service to the one/)
  wrong({ service: 'lokal' }, /'lokal', which is not among local/)
  wrong({ models: {} }, /models is empty/)
  wrong({ models: { User: { photo: {} } } }, /not made by hasOneAttached/)
  wrong({ models: { User: { attachLater: hasOneAttached() } } }, /reserved name/)
  wrong({ models: { User: { photo: hasOneAttached({ service: 'nowhere' }) } } }, /'nowhere'/)
  wrong(
    { models: { User: { photo: hasOneAttached({ variantInfo: { convert: 'jpg' } }) } } },
    /images: sharp/,
  )
  wrong({ findRecord: { Usr: () => null } }, /'Usr'/)
  wrong({ findRecord: { User: 'find' } }, /findRecord\.User is not a function/)
  wrong({ findRecord: () => null }, /findRecord must be an object/)
  wrong(
    { services: { local: { upload: memory().upload } } },
    /services\.local is not a service: it lacks download, delete,/,
  )
  wrong({ services: { local: undefined } }, /services\.local is not a service/)
  wrong({ images: sharp }, /pass sharp\(\)/)
  for (const secretKeyBase of ['', [], ['new', ''], 7])
    wrong({ secretKeyBase }, /secretKeyBase must be text/)
  createActiveStorage({ ...base, secretKeyBase: ['new', 'old'], logger: console, images: sharp() })
  wrong({ recordId: 'int' }, /bigint, uuid or text/)
  wrong({ tables: { prefix: 'a"; drop table users; --' } }, /letters, digits/)
  wrong({ tables: { schema: 'files' } }, /tables\.schema is for PostgreSQL/)
  wrong(
    { tables: { schema: 'files' }, database: mysql('mysql://root@localhost/app') },
    /tables\.schema is for PostgreSQL/,
  )
  createActiveStorage({
    ...base,
    tables: { schema: 'files' },
    database: postgres('postgres://localhost/app'),
  })
  for (const [name, value] of Object.entries({
    staging: 'expires',
    retries: 'attempt',
    failed: 'keep',
    gem: 'after',
    tables: 'name',
    rails: 'digest',
  })) {
    wrong(
      { [name]: { [value]: 1 } },
      new RegExp(`${name}: unknown option '${value}'\\. (Did you mean|The options are)`),
    )
    wrong({ [name]: 7 }, new RegExp(`${name}: give an object`))
  }
  wrong({ rails: { keyDigest: 'MD5' } }, /rails\.keyDigest is 'MD5': give SHA1 or SHA256/)
  wrong({ rails: { envelope: 'yaml' } }, /rails\.envelope is 'yaml': give marshal or json/)
  for (const logger of [null, true, { warn: () => undefined, error: () => undefined }])
    wrong({ logger }, /logger has no debug\(\)/)
  wrong({ retries: { minDelay: '2h' } }, /minDelay \(2h\) is longer than retries\.maxDelay \(1h\)/)
  wrong({ staging: { maxFiles: 0 } }, /staging\.maxFiles is 0/)
  wrong({ retries: { attempts: 0 } }, /above 0/)
  wrong({ staging: { expiresIn: '1 day' } }, /with its unit/)
  wrong({ gem: { moveAfter: 600 } }, /gem\.moveAfter/)
  wrong({ jobs: {} }, /enqueue\(\) and work\(\)/)
  const unknown = { code: 'UNKNOWN_ATTACHMENT', message: /"User\.foto"; there are User\.photo\./ }
  assert.throws(() => createActiveStorage(base).stagedUploadPath('User.foto' as never), unknown)
  refused(() => createActiveStorage(base).work({ concurrency: 0 }), /concurrency/)
  refused(
    () => createActiveStorage(base).work({ concurency: 3 } as never),
    /work: unknown option 'concurency'/,
  )
  refused(() => createActiveStorage(undefined as never), /give an object/)
})

test('a wrong option of drain is refused', async () => {
  const storage = createActiveStorage({
    database: sqlite(':memory:'),
    services: { local: memory() },
    models: { User: { photo: hasOneAttached() } },
  })
  await assert.rejects(storage.drain({ time: '5s' } as never), {
    code: 'CONFIGURATION',
    message: /drain: unknown option 'time'/,
  })
  await storage.close()
})

test('wrong options of services and images are refused', () => {
  refused(() => disk({} as never), /disk: root is missing/)
  refused(() => disk({ root: '' }), /disk: root is missing/)
  refused(() => disk({ root: 'x', folder: 'y' } as never), /disk: unknown option 'folder'/)
  refused(() => disk(undefined as never), /disk: give an object with root/)
  refused(() => s3({} as never), /s3: bucket is missing/)
  refused(() => s3({ bucket: 'b', accessKeyId: 'x' } as never), /s3: unknown option 'accessKeyId'/)
  refused(
    () => s3({ bucket: 'b', serverSideEncryption: 'aes256' } as never),
    /is "aes256": give one of AES256/,
  )
  refused(() => s3({ bucket: 'b', kmsKeyId: 'k' }), /kmsKeyId needs serverSideEncryption/)
  refused(
    () => s3({ bucket: 'b', kmsKeyId: 'k', serverSideEncryption: 'AES256' }),
    /kmsKeyId needs serverSideEncryption/,
  )
  s3({ bucket: 'b', kmsKeyId: 'k', serverSideEncryption: 'aws:kms' })
  refused(() => sharp({ limit: 5 } as never), /sharp: unknown option 'limit'/)
})

test('wrong arguments of databases are refused', () => {
  for (const missing of [undefined, '', { url: undefined }])
    refused(() => postgres(missing), /postgres\(\): the url is missing.*postgres:\/\//)
  for (const missing of [undefined, ''])
    refused(() => mysql(missing), /mysql\(\): the url is missing.*mysql:\/\//)
  refused(() => mysql('app'), /cannot be read/)
  refused(() => mysql('mysql://root@localhost/app?ssl=true'), /options after '\?'/)
  for (const wrong of [null, {}, 7])
    for (const database of [postgres, mysql, sqlite])
      refused(() => database(wrong as never), /pool|is of type number|handle|pass the path/)
  for (const wrong of [undefined, ''])
    refused(() => sqlite(wrong as never), /pass the path of a file/)
})

test('a missing secret is an error when it is first needed', async (t) => {
  const before = process.env['SECRET_KEY_BASE']
  delete process.env['SECRET_KEY_BASE']
  t.after(() => (before === undefined ? undefined : (process.env['SECRET_KEY_BASE'] = before)))
  const database = sqlite(':memory:')
  const storage = createActiveStorage({
    database,
    services: { local: memory() },
    models: { User: { photo: hasOneAttached() } },
  })
  await storage.migrate()
  const missing = { code: 'CONFIGURATION', message: /No secret to sign ids with/ }
  const body = new FormData()
  body.append('user[photo]', new File(['x'], 'x'))
  const form = new Request('http://app.test/', { method: 'POST', body })
  await assert.rejects(storage.stage(new File(['x'], 'x')), missing)
  await assert.rejects(storage.parseForm(form, { model: 'User' }), missing)
  const announced = { filename: 'x', byteSize: 1, checksum: `${'A'.repeat(22)}==` }
  await assert.rejects(storage.blobs.createBeforeDirectUpload(announced), missing)
  for (const table of ['activestorage_delayed_files', 'active_storage_blobs'])
    assert.deepEqual(
      (await database.executor.run(`select count(*) as n from ${table}`, [])).rows,
      [{ n: 0 }],
      `${table} keeps nothing`,
    )
  await storage.close()
})
