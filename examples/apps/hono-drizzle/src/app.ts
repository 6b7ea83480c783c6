import { Hono } from 'hono'
import { publicErrorOf } from 'activestorage-delayed'
import { activeStorage, form } from 'activestorage-delayed/hono'
import { usersPage } from './page.ts'
import { users } from './schema.ts'
import { storage } from './storage.ts'

export const app = new Hono()

app.use(activeStorage(storage))

app.get('/', async (c) => c.html(await usersPage()))

app.post('/users', form(storage, { model: 'User' }), async (c) => {
  const { values, files } = c.var.form
  // The user and the files, or nothing. On SQLite all requests share one connection: write in `storage.transaction` only.
  await storage.transaction(async (tx) => {
    const [user] = await tx
      .insert(users)
      .values({ name: String(values.name ?? '') })
      .returning()
    await storage.record('User', user!.id, { transaction: tx }).attachLater(files)
  })
  return c.redirect('/', 303)
})

// A file that is too large, or of the wrong type; whatever else goes wrong, with a reference to the log.
app.onError((error, c) => {
  const { statusCode, message, reference } = publicErrorOf(error)
  if (reference !== null) console.error(reference, error)
  return c.text(message, statusCode as 422)
})
