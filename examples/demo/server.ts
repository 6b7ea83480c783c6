import { readFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import type { DatabaseSync } from 'node:sqlite'
import { serve } from '@hono/node-server'
import { Hono, type Context } from 'hono'
import { ActiveStorageError, publicErrorOf, type ParsedForm } from '../../src/index.ts'
import { page, usersPart, type Refused, type UserView } from './page.ts'
import { storage, weather, type userAttachments } from './storage.ts'

await storage.migrate()
await storage.transaction(async (tx: DatabaseSync) =>
  tx.exec('create table if not exists users (id integer primary key, name text not null unique)'),
)
const worker = storage.work()

const app = new Hono()

// Files, uploads from the page, and their progress.
app.all(`${storage.basePath}/*`, (c) => storage.handler(c.req.raw))
// The library's browser module, as a bundler or `dist/client` would give it.
app.get('/client/:name{[a-z0-9-]+\\.ts}', async (c) => {
  const source = await readFile(
    new URL(`../../src/client/${c.req.param('name')}`, import.meta.url),
    'utf8',
  )
  return c.body(stripTypeScriptTypes(source), 200, { 'content-type': 'text/javascript' })
})

async function users(): Promise<UserView[]> {
  const rows = await storage.transaction(
    async (tx) =>
      tx.prepare('select id, name from users order by id desc').all() as unknown as {
        id: number
        name: string
      }[],
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
      certificates: await user.certificates.attachments(),
      uploads: [
        ...(await user.photo.delayedUploads()),
        ...(await user.certificates.delayedUploads()),
      ],
    })),
  )
}

const nothing: Refused = { error: null, name: '', hidden: [] }
app.get('/', async (c) => c.html(page(await users(), nothing)))
app.get('/users', async (c) => c.html(usersPart(await users())))

type UserForm = ParsedForm<typeof userAttachments>
const nameOf = (values: UserForm['values']): string => String(values['name'] ?? '').trim()

/**
 * The form once more, with what was typed and the files that came with it: nobody chooses them
 * twice.
 */
async function again(
  c: Context,
  error: string,
  values: UserForm['values'],
  hidden: UserForm['hidden'],
): Promise<Response> {
  return c.html(page(await users(), { error, name: nameOf(values), hidden }), 422)
}

app.post('/users', async (c) => {
  const { values, files, hidden } = await storage.parseForm(c.req.raw, { model: 'User' })
  const name = nameOf(values)
  if (name === '') return again(c, 'A user needs a name.', values, hidden)
  const taken = await storage.transaction(async (tx) => {
    if (tx.prepare('select 1 from users where name = ?').get(name) !== undefined) return true
    const { lastInsertRowid: id } = tx.prepare('insert into users (name) values (?)').run(name)
    await storage.record('User', id, { transaction: tx }).attachLater(files)
    return false
  })
  return taken
    ? again(c, `${name} is here already: choose another name. The files are kept.`, values, hidden)
    : c.redirect('/', 303)
})

app.post('/users/:id{[0-9]+}', async (c) => {
  const { files } = await storage.parseForm(c.req.raw, { model: 'User' })
  await storage.record('User', c.req.param('id')).attachLater(files)
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

app.onError((error, c) => {
  const { message, reference } = publicErrorOf(error)
  if (reference !== null) console.error(reference, error)
  return again(c, message, error instanceof ActiveStorageError ? (error.values ?? {}) : {}, [])
})

const server = serve(
  { fetch: app.fetch, port: Number(process.env['PORT'] ?? 3000), hostname: '127.0.0.1' },
  ({ port }) => console.log(`Open http://localhost:${port}`),
)

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    server.close()
    void worker.stop({ timeout: '5s' }).then(async () => {
      await storage.close()
      process.exit(0)
    })
  })
