import express, { type NextFunction, type Request, type Response } from 'express'
import { publicErrorOf } from 'activestorage-delayed'
import { activeStorage } from 'activestorage-delayed/express'
import { dataSource } from './data-source.ts'
import { usersPage } from './page.ts'
import { storage } from './storage.ts'
import { User } from './user.ts'

export const app = express()

// Before any parser of bodies.
app.use(activeStorage(storage))

app.get('/', async (_req, res) => {
  res.send(await usersPage())
})

app.post('/users', async (req, res) => {
  const { values, files } = await storage.parseForm(req, { model: 'User' })
  const user = dataSource.manager.create(User, {
    name: String(values.name ?? ''),
    photoTmp: files.photo,
    certificatesTmp: files.certificates,
  })
  await dataSource.manager.save(user) // the user and the files, or nothing
  res.redirect(303, '/')
})

// A file that is too large, or of the wrong type; whatever else goes wrong, with a reference to the log.
app.use((error: unknown, _req: Request, res: Response, _next: NextFunction) => {
  const { statusCode, message, reference } = publicErrorOf(error)
  if (reference !== null) console.error(reference, error)
  res.status(statusCode).type('text').send(message)
})
