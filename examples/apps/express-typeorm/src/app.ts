import express, { type NextFunction, type Request, type Response } from 'express'
import { ActiveStorageError } from 'activestorage-delayed'
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

// A file that is too large, or of the wrong type.
app.use((error: unknown, _req: Request, res: Response, next: NextFunction) => {
  if (!(error instanceof ActiveStorageError) || error.statusCode >= 500) return next(error)
  res.status(error.statusCode).type('text').send(error.message)
})
