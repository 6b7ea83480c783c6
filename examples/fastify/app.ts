// npm run build && node examples/fastify/app.ts
import fastify from 'fastify'
import { activeStorage, form } from 'activestorage-delayed/fastify'
import { createUser, start, storage, usersPage } from '../users.ts'

await start()
const app = fastify()

await app.register(activeStorage(storage))

app.get('/', async (_request, reply) => reply.type('text/html').send(await usersPage()))
app.post('/users', async (request, reply) => {
  await createUser(await form(storage, request, { model: 'User' }))
  return reply.redirect('/', 303)
})

console.log(await app.listen({ port: Number(process.env['PORT'] ?? 3000) }))
