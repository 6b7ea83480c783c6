// npm run build && node examples/hono/app.ts
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { activeStorage, form } from 'activestorage-delayed/hono'
import { publicErrorOf } from 'activestorage-delayed'
import { createUser, start, storage, usersPage } from '../users.ts'

await start()
const app = new Hono()

app.use(activeStorage(storage))

app.get('/', async (c) => c.html(await usersPage()))
app.post('/users', form(storage, { model: 'User' }), async (c) => {
  await createUser(c.var.form)
  return c.redirect('/', 303)
})

// Express, Fastify and Nest read `statusCode` by themselves.
app.onError((error, c) => {
  const { statusCode, message, reference } = publicErrorOf(error)
  if (reference !== null) console.error(reference, error)
  return c.text(message, statusCode as 422)
})

serve({ fetch: app.fetch, port: Number(process.env['PORT'] ?? 3000) }, ({ port }) =>
  console.log(`http://localhost:${port}`),
)
