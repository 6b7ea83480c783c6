import fastify from 'fastify'
import { activeStorage, form } from 'activestorage-delayed/fastify'
import { usersPage } from './page.ts'
import { storage } from './storage.ts'

export const app = fastify()

await app.register(activeStorage(storage))

app.get('/', async (_request, reply) => reply.type('text/html').send(await usersPage()))

// A file that is too large, or of the wrong type, is an error with a `statusCode`: Fastify answers with it, and with the message for visitors.
app.post('/users', async (request, reply) => {
  const { values, files } = await form(storage, request, { model: 'User' })
  // The user and the files, or nothing.
  await storage.transaction(async (trx) => {
    const user = await trx
      .insertInto('users')
      .values({ name: String(values.name ?? '') })
      .returning('id')
      .executeTakeFirstOrThrow()
    await storage.record('User', user.id, { transaction: trx }).attachLater(files)
  })
  return reply.redirect('/', 303)
})
