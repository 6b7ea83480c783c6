// Never run: what must compile, and what must not. `npm run typecheck` reads it.
import { createReadStream } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import { DatabaseSync } from 'node:sqlite'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import type * as mariadb from 'mariadb'
import type BetterSqlite3 from 'better-sqlite3'
import type mysql2 from 'mysql2/promise'
import type pg from 'pg'
import {
  ActiveStorageError,
  AttachmentRequiredError,
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  type Attachment,
  type Attachments,
  type DelayedFile,
  type StagedFile,
  type UploadSnapshot,
} from '../../src/index.ts'
import type { FollowedUpload } from '../../src/client/index.ts'
import { mysql } from '../../src/database/mysql.ts'
import { postgres, type PgClient } from '../../src/database/postgres.ts'
import { sqlite } from '../../src/database/sqlite.ts'
import * as forExpress from '../../src/http/adapters/express.ts'
import * as forFastify from '../../src/http/adapters/fastify.ts'
import * as forHono from '../../src/http/adapters/hono.ts'
import { nodeHandler } from '../../src/http/adapters/node.ts'
import { sharp } from '../../src/images/sharp.ts'
import { disk } from '../../src/services/disk.ts'
import { memory } from '../../src/services/memory.ts'

declare function expectType<T>(value: T): void
type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
declare const file: File
declare const buffer: Buffer
declare const formData: FormData
declare const web: Request
declare const node: IncomingMessage
declare const multerFile: {
  fieldname: string
  originalname: string
  encoding: string
  mimetype: string
  size: number
  destination: string
  filename: string
  path: string
  buffer: Buffer
}
declare const staged: StagedFile
declare const pool: pg.Pool
declare const mariadbPool: mariadb.Pool
declare const mysql2Pool: mysql2.Pool

// The smallest app.
const tiny = createActiveStorage({
  database: sqlite('app.db'),
  services: { local: disk({ root: 'storage' }) },
  models: { User: { photo: hasOneAttached(), certificates: hasManyAttached() } },
})
await tiny.migrate()
await tiny.record('User', 1).photo.attachLater({ path: 'my_file.png' })
await tiny.record('User', 1).certificates.attachLater([file, { io: buffer, filename: 'b.pdf' }])
await tiny.record('User', 1).certificates.attachLater({ deletedIds: [1, '2', 3n], files: [file] })
await tiny.record('User', 1).certificates.attachLater({ cleanBefore: true, files: [file] })
await tiny.drain({ timeout: '50s' })
await using worker = tiny.work({ concurrency: 5 })
expectType<Promise<void>>(worker.done)

// Everything of the gem's README.
interface User {
  id: number
  name: string
}
const userAttachments = {
  photo: hasOneAttached({
    required: true,
    variantInfo: { resizeToFit: [400, 400], convert: 'jpg' },
    accept: ['image/*'],
    maxSize: '10 MB',
    useFilename: (user: User, filename) => `${user.id}-${user.name}-${filename.toLowerCase()}`,
    afterUpload: (user, uploaded) => console.log(user.name, uploaded.filename),
    afterUploadAll: (user) => console.log(user.name),
    errorUpload: (user, error, failed, { attempt, retryAt }) =>
      console.log(user.name, error.code, failed.filename, attempt, retryAt?.toISOString()),
  }),
  certificates: hasManyAttached({ maxFiles: 5 }),
}
const viaSatisfies = {
  photo: hasOneAttached({
    afterUpload: (user) => {
      expectType<User>(user)
    },
  }),
  certificates: hasManyAttached({ afterUploadAll: (user) => console.log(user.name) }),
} satisfies Attachments<User>
declare const users: { find(id: string): Promise<User | null> }
const base = {
  database: postgres(pool),
  services: { local: disk({ root: 'x' }), other: memory() },
  images: sharp(),
}
const storage = createActiveStorage({
  ...base,
  service: 'local',
  models: { User: userAttachments, Post: { cover: hasOneAttached() } },
  findRecord: { User: (id) => users.find(id) },
})
createActiveStorage({
  ...base,
  models: { User: viaSatisfies },
  findRecord: { User: (id) => users.find(id) },
})
// @ts-expect-error hooks read a User: findRecord is missing
createActiveStorage({ ...base, models: { User: userAttachments } })
createActiveStorage({
  ...base,
  models: { User: userAttachments },
  // @ts-expect-error findRecord returns the wrong record
  findRecord: { User: async (id: string) => ({ id: 1, title: id }) },
})
// @ts-expect-error no such service
createActiveStorage({ ...base, service: 'lokal', models: { Post: { cover: hasOneAttached() } } })
// @ts-expect-error misspelt option
hasOneAttached({ requird: true })
// @ts-expect-error the gem's spelling is for forms, not for code
hasOneAttached({ use_filename: true })
// @ts-expect-error unit
hasOneAttached({ maxSize: '10 megabytes' })
// @ts-expect-error maxFiles on one
hasOneAttached({ maxFiles: 3 })
// @ts-expect-error not a MIME pattern
hasOneAttached({ accept: ['png'] })
// @ts-expect-error unknown transformation
hasOneAttached({ variantInfo: { resizeToFitt: [1, 2] } })
createActiveStorage({
  ...base,
  service: 'local',
  models: { Post: { cover: hasOneAttached() } },
  // @ts-expect-error a duration without a unit
  staging: { expiresIn: 3600 },
})

// One, many, unknown names.
const user = storage.record('User', 1n)
const one = await user.photo.attachment()
expectType<true>(true satisfies Equal<typeof one, Attachment | null>)
const many = await user.certificates.attachments()
expectType<number>(many.length)
// @ts-expect-error has-one has no attachments()
void user.photo.attachments
// @ts-expect-error has-many has no attachment()
void user.certificates.attachment
// @ts-expect-error unknown attachment
void user.foto
// @ts-expect-error unknown model
storage.record('Usr', 1)
// @ts-expect-error id
storage.record('User', { id: 1 })
const latest = await user.photo.latest()
expectType<Attachment | DelayedFile | null>(latest)
if (latest?.state === 'failed') expectType<string | null>(latest.lastError)
for (const each of await storage.records('User', [1, 2]))
  expectType<Promise<boolean>>(each.photo.attached())
JSON.stringify(await user.photo.delayedUploads())
await storage.delayedUploads.list({ state: 'failed', model: 'Post' })
// @ts-expect-error unknown model
await storage.delayedUploads.list({ model: 'Usr' })

// Attachables.
await user.photo.attach(file)
await user.photo.attach(new Blob(['x']))
await user.photo.attach({ io: buffer, filename: 'a.txt' })
await user.photo.attach({ io: new Uint8Array(3), filename: 'a.txt' })
await user.photo.attach({ io: createReadStream('a'), filename: 'a.txt' })
if (web.body !== null) await user.photo.attach({ io: web.body, filename: 'a.txt' })
await user.photo.attach({ path: 'a.txt' })
await user.photo.attach(multerFile)
await user.photo.attach(staged)
await user.photo.attach(staged.signedId)
if (one !== null) await user.photo.attach(one.blob)
await user.photo.attachLater(formData.get('photo'))
await user.certificates.attachLater(formData.getAll('certificates'))
await user.certificates.attachLater(file)
await user.certificates.attachLater([multerFile, null, undefined])
// @ts-expect-error bytes without a name
await user.photo.attach(buffer)
// @ts-expect-error bytes without a name
await user.photo.attach({ io: buffer })
// @ts-expect-error text is not bytes
await user.photo.attach({ io: 'text', filename: 'a.txt' })
// @ts-expect-error list for one
await user.photo.attachLater([file])
// @ts-expect-error changes for one
await user.photo.attachLater({ files: [file] })
// @ts-expect-error misspelt
await user.certificates.attachLater({ fils: [file] })
// @ts-expect-error snake_case in code
await user.certificates.attachLater({ files: [file], deleted_ids: [1] })
// @ts-expect-error number
await user.photo.attach(42)

// Transactions: each database's own object, and no other's.
await storage.transaction(async (tx) => {
  expectType<PgClient>(tx)
  await tx.query('insert into users …')
  await storage
    .record('User', 1, { transaction: tx })
    .attachLater({ photo: file, certificates: [file] })
  // @ts-expect-error unknown name in the map
  await storage.record('User', 1, { transaction: tx }).attachLater({ foto: file })
  // @ts-expect-error list for one, in the map
  await storage.record('User', 1, { transaction: tx }).attachLater({ photo: [file] })
})
declare const pgClient: pg.PoolClient
storage.record('User', 1, { transaction: pgClient })
// @ts-expect-error another database's transaction
storage.record('User', 1, { transaction: new DatabaseSync(':memory:') })
const models = { Post: { cover: hasOneAttached() } }
const services = { local: memory() }
const onMariadb = createActiveStorage({ database: mysql(mariadbPool), services, models })
declare const mariadbConnection: mariadb.PoolConnection
onMariadb.record('Post', 1, { transaction: mariadbConnection })
const onMysql2 = createActiveStorage({ database: mysql(mysql2Pool), services, models })
declare const mysql2Connection: mysql2.PoolConnection
onMysql2.record('Post', 1, { transaction: mysql2Connection })
await onMysql2.transaction(async (connection) => {
  const [made] = await connection.execute('insert into posts (title) values (?)', ['Hello'])
  await onMysql2.record('Post', made.insertId, { transaction: connection }).cover.attachLater(file)
})
await createActiveStorage({ database: postgres('postgres://'), services, models }).transaction(
  async (client) => {
    const { rows } = await client.query('insert into posts (title) values ($1) returning id', [
      'Hello',
    ])
    onMariadb.record('Post', rows[0].id)
  },
)
tiny.record('User', 1, { transaction: new DatabaseSync(':memory:') })
declare const better: BetterSqlite3.Database
createActiveStorage({ database: sqlite(better), services, models }).record('Post', 1, {
  transaction: better,
})

await storage.stage(file, { for: 'User.photo' })
// @ts-expect-error unknown slot
await storage.stage(file, { for: 'User.foto' })
export const GET = async (): Promise<Response> =>
  Response.json(await storage.drain({ timeout: '50s' }))

// The web side: forms, paths, progress.
const parsed = await storage.parseForm(web, { model: 'User' })
await storage.record('User', 7).attachLater(parsed.files)
expectType<string | readonly string[] | undefined>(parsed.values['name'])
expectType<string>(parsed.hidden[0]?.value ?? '')
await storage.parseForm(node, { model: 'Post', scope: null })
// @ts-expect-error unknown model
await storage.parseForm(web, { model: 'Usr' })
// @ts-expect-error misspelt
await storage.parseForm(web, { model: 'User', limits: { file: 3 } })
// @ts-expect-error files of another model
await storage.record('Post', 1).attachLater({ ...parsed.files, photo: file })
storage.stagedUploadPath('User.photo')
storage.directUploadPath('Post.cover')
// @ts-expect-error unknown slot
storage.directUploadPath('User.foto')
export const { handler } = storage
expectType<(request: Request) => Promise<Response>>(handler)
expectType<string>((await user.photo.latest())?.path({ disposition: 'attachment' }) ?? '')
expectType<string>((await user.photo.attachLater(file))?.path() ?? '')
expectType<string>((await storage.stage(file)).path())
// @ts-expect-error a bare duration
one?.path({ expiresIn: 300 })
createActiveStorage({
  ...base,
  service: 'local',
  models,
  basePath: '/files',
  authorize: (request, { action, record }) => action === 'read' || record?.id === request.url,
})
// @ts-expect-error not absolute
createActiveStorage({ ...base, service: 'local', models, basePath: 'files' })

// Adapters over the real frameworks.
const onExpress = express()
onExpress.use(forExpress.activeStorage(storage))
onExpress.post(
  '/',
  forExpress.form(storage, { model: 'User' }),
  (req, res) => void res.send(String(req.form?.values['name'])),
)
// @ts-expect-error unknown model
forExpress.form(storage, { model: 'Usr' })
const onHono = new Hono()
onHono.use(forHono.activeStorage(storage))
onHono.post('/', forHono.form(storage, { model: 'User' }), async (c) => {
  await storage.record('User', 1).attachLater(c.var.form.files)
  // @ts-expect-error unknown attachment of the form
  void c.var.form.files.foto
  return c.text('saved')
})
const onFastify = fastify()
await onFastify.register(forFastify.activeStorage(storage))
onFastify.post('/', async (request) =>
  storage
    .record('User', 1)
    .attachLater((await forFastify.form(storage, request, { model: 'User' })).files),
)
createServer(nodeHandler(storage))

// Errors.
try {
  await user.validate()
} catch (error) {
  if (error instanceof AttachmentRequiredError) expectType<'ATTACHMENT_REQUIRED'>(error.code)
  else if (error instanceof ActiveStorageError)
    console.log(error.statusCode, error.details.record?.id, error.retryable)
}

// The browser module reads the snapshots that the server sends.
declare const told: UploadSnapshot
declare const heard: FollowedUpload
expectType<FollowedUpload>(told)
expectType<UploadSnapshot>(heard)
