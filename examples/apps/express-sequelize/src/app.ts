import express, { type NextFunction, type Request, type Response } from 'express'
import { ValidationError } from 'sequelize'
import { publicErrorOf } from 'activestorage-delayed'
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
  await User.create({
    name: String(values.name ?? ''),
    photoTmp: files.photo,
    certificatesTmp: files.certificates,
  })
  res.redirect(303, '/')
})

app.use((error: unknown, _req: Request, res: Response, _next: NextFunction) => {
  const text = res.type('text')
  if (error instanceof ValidationError) return void text.status(422).send(error.message)
  // A file that is too large, or of the wrong type; whatever else goes wrong, with a reference to the log.
  const { statusCode, message, reference } = publicErrorOf(error)
  if (reference !== null) console.error(reference, error)
  text.status(statusCode).send(message)
})
