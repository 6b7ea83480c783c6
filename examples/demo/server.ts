import type { DatabaseSync } from 'node:sqlite'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { ActiveStorageError, type Attachment, type DelayedFile } from '../../src/index.ts'
import { FormError, readForm } from './form.ts'
import { page, usersPart, type UserView } from './page.ts'
import { storage, weather } from './storage.ts'

await storage.migrate()
await storage.transaction(async (tx: DatabaseSync) =>
  tx.exec('create table if not exists users (id integer primary key, name text not null)'),
)
const worker = storage.work()

const app = new Hono()

async function users(): Promise<UserView[]> {
  const rows = await storage.transaction(
    async (tx) => tx.prepare('select id, name from users order by id desc').all() as unknown as { id: number; name: string }[],
  )
  const handles = await storage.records(
    'User',
    rows.map((row) => row.id),
  )
  return Promise.all(
    handles.map(async (user, index) => ({
      id: Number(user.id),
      name: rows[index]?.name ?? '',
      photo: await user.photo.latest(),
      certificates: await user.certificates.latest(),
      uploads: [...(await user.photo.delayedUploads()), ...(await user.certificates.delayedUploads())],
    })),
  )
}

app.get('/', async (c) => {
  const { error, name = '' } = c.req.query()
  return c.html(page(await users(), error === undefined ? null : { error, name }))
})
app.get('/users', async (c) => c.html(usersPart(await users())))

app.post('/users', async (c) => {
  const { fields, photo, certificates } = await readForm(c.req.raw)
  await storage.transaction(async (tx) => {
    const { lastInsertRowid: id } = tx.prepare('insert into users (name) values (?)').run(fields.get('user[name]')?.at(-1) ?? '')
    await storage.record('User', id, { transaction: tx }).attachLater({ photo, certificates })
  })
  return c.redirect('/', 303)
})

app.post('/users/:id{[0-9]+}', async (c) => {
  const { fields, photo, certificates } = await readForm(c.req.raw)
  const name = 'user[certificates_tmp]'
  const changes = {
    files: certificates,
    deletedIds: fields.get(`${name}[deleted_ids][]`) ?? [],
    cleanBefore: fields.has(`${name}[clean_before]`),
  }
  await storage.record('User', c.req.param('id')).attachLater({ photo, certificates: changes })
  return c.redirect('/', 303)
})

app.post('/uploads/:id/:verb{retry|discard}', async (c) => {
  const upload = await storage.delayedUploads.find(c.req.param('id'))
  await (c.req.param('verb') === 'retry' ? upload?.retry() : upload?.discard())
  return c.redirect('/', 303)
})

app.post('/weather', async (c) => {
  const form = await c.req.parseBody()
  if ('slow' in form) weather.slow = form['slow'] === '1'
  if ('failing' in form) weather.failing = form['failing'] === '1'
  return c.redirect('/', 303)
})

/** Only images are shown in the page; everything else is a download, whatever it says it is. */
function answer(file: Attachment | DelayedFile): Response {
  const inline = /^image\/(png|jpeg|gif|webp|avif)$/.test(file.contentType)
  return new Response(file.stream(), {
    headers: {
      'content-type': inline ? file.contentType : 'application/octet-stream',
      'content-length': String(file.byteSize),
      'content-disposition': `${inline ? 'inline' : 'attachment'}; filename*=UTF-8''${encodeURIComponent(file.filename)}`,
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
    },
  })
}

app.get('/attachments/:id', async (c) => {
  for (const user of await users())
    for (const file of [user.photo, ...user.certificates])
      if (file?.state === 'attached' && file.id === c.req.param('id')) return answer(file)
  return c.notFound()
})
app.get('/pending/:id', async (c) => {
  for (const user of await users())
    for (const file of [user.photo, ...user.certificates])
      if (file !== null && file.state !== 'attached' && file.id === c.req.param('id')) return answer(file)
  return c.notFound()
})

app.onError((error, c) => {
  const cause = error instanceof FormError ? error.cause : error
  if (!(cause instanceof ActiveStorageError)) console.error(cause)
  const text = cause instanceof ActiveStorageError ? cause.message : 'Something went wrong; the log says what.'
  const name = error instanceof FormError ? `&name=${encodeURIComponent(error.typed)}` : ''
  return c.redirect(`/?error=${encodeURIComponent(text)}${name}`, 303)
})

const server = serve({ fetch: app.fetch, port: Number(process.env['PORT'] ?? 3000), hostname: '127.0.0.1' }, ({ port }) =>
  console.log(`Open http://localhost:${port}`),
)

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    server.close()
    void worker.stop({ timeout: '5s' }).then(async () => {
      await storage.close()
      process.exit(0)
    })
  })
