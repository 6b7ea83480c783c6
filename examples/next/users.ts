// Users with a photo and certificates, on SQLite and a folder.
import { mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createActiveStorage, hasManyAttached, hasOneAttached, type ParsedForm } from 'activestorage-delayed'
import { disk } from 'activestorage-delayed/services/disk'
import { sqlite } from 'activestorage-delayed/sqlite'

const folder = process.env['DATA'] ?? join(tmpdir(), 'activestorage-delayed-example')
mkdirSync(folder, { recursive: true })

const attachments = {
  photo: hasOneAttached({ accept: ['image/*'], maxSize: '20 MB' }),
  certificates: hasManyAttached({ maxFiles: 30, maxSize: '2 GB' }),
}

export const storage = createActiveStorage({
  database: sqlite(join(folder, 'app.db')),
  services: { local: disk({ root: join(folder, 'storage') }) },
  models: { User: attachments },
  secretKeyBase: process.env['SECRET_KEY_BASE'] ?? 'only for this example',
})

export async function start(): Promise<void> {
  await storage.migrate()
  await storage.transaction(async (tx) => tx.exec('create table if not exists users (id integer primary key, name text not null)'))
  storage.work()
}

/** The user and the files, or nothing. */
export async function createUser({ values, files }: ParsedForm<typeof attachments>): Promise<void> {
  await storage.transaction(async (tx) => {
    const { lastInsertRowid: id } = tx.prepare('insert into users (name) values (?)').run(String(values['name']))
    await storage.record('User', id, { transaction: tx }).attachLater(files)
  })
}

export interface User {
  readonly name: string
  readonly photo: string | null
  readonly certificates: readonly { readonly filename: string; readonly path: string }[]
}

export async function listUsers(): Promise<User[]> {
  const rows = await storage.transaction(async (tx) => tx.prepare('select id, name from users order by id').all())
  return Promise.all(
    rows.map(async (row) => {
      const user = storage.record('User', Number(row['id']))
      const certificates = await user.certificates.latest()
      return {
        name: String(row['name']),
        photo: (await user.photo.latest())?.path() ?? null,
        certificates: certificates.map((file) => ({ filename: file.filename, path: file.path() })),
      }
    }),
  )
}
