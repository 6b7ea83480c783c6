import { Hono } from 'hono'
import { ActiveStorageError } from 'activestorage-delayed'
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

// A file that is too large, or of the wrong type.
app.onError((error, c) => {
  if (!(error instanceof ActiveStorageError) || error.statusCode >= 500) throw error
  return c.text(error.message, error.statusCode as 422)
})
