// npm run build && node examples/express/app.ts
import type { AddressInfo } from 'node:net'
import express from 'express'
import { publicErrorOf } from 'activestorage-delayed'
import { activeStorage, form } from 'activestorage-delayed/express'
import { createUser, start, storage, usersPage } from '../users.ts'

await start()
const app = express()

// Before any parser of bodies.
app.use(activeStorage(storage))

app.get('/', async (_req, res) => void res.send(await usersPage()))
app.post('/users', form(storage, { model: 'User' }), async (req, res) => {
  await createUser(req.form!)
  res.redirect(303, '/')
})

// Express by itself tells visitors no more than the status.
app.use(
  (error: unknown, _req: express.Request, res: express.Response, _next: express.NextFunction) => {
    const { statusCode, message, reference } = publicErrorOf(error)
    if (reference !== null) console.error(reference, error)
    res.status(statusCode).type('text').send(message)
  },
)

const server = app.listen(Number(process.env['PORT'] ?? 3000), () => {
  const { port } = server.address() as AddressInfo
  console.log(`http://localhost:${port}`)
})
