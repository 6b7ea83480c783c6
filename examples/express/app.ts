// npm run build && node examples/express/app.ts
import type { AddressInfo } from 'node:net'
import express from 'express'
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

const server = app.listen(Number(process.env['PORT'] ?? 3000), () => {
  const { port } = server.address() as AddressInfo
  console.log(`http://localhost:${port}`)
})
