import express, { type NextFunction, type Request, type Response } from 'express'
import { ValidationError } from 'sequelize'
import { ActiveStorageError } from 'activestorage-delayed'
import { activeStorage } from 'activestorage-delayed/express'
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
  // The user and the files, or nothing.
  await User.create({ name: String(values.name ?? ''), photoTmp: files.photo, certificatesTmp: files.certificates })
  res.redirect(303, '/')
})

app.use((error: unknown, _req: Request, res: Response, next: NextFunction) => {
  const text = res.type('text')
  // A file that is too large, or of the wrong type.
  if (error instanceof ActiveStorageError && error.statusCode < 500) text.status(error.statusCode).send(error.message)
  else if (error instanceof ValidationError) text.status(422).send(error.message)
  else next(error)
})
