// The examples of frameworks share this storage: users with a photo and certificates, on SQLite and a folder.
import { mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  type ParsedForm,
} from 'activestorage-delayed'
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
  await createTable()
  storage.work()
}

export async function createTable(): Promise<void> {
  await storage.transaction(async (tx) =>
    tx.exec('create table if not exists users (id integer primary key, name text not null)'),
  )
}

/** What a form says of a user. */
export type UserForm = Pick<ParsedForm<typeof attachments>, 'values' | 'files'>

/** The user and the files, or nothing. */
export async function createUser({ values, files }: UserForm): Promise<void> {
  await storage.transaction(async (tx) => {
    const { lastInsertRowid: id } = tx
      .prepare('insert into users (name) values (?)')
      .run(String(values['name']))
    await storage.record('User', id, { transaction: tx }).attachLater(files)
  })
}

interface User {
  readonly name: string
  readonly photo: string | null
  readonly certificates: readonly { readonly filename: string; readonly path: string }[]
}

async function listUsers(): Promise<User[]> {
  const rows = await storage.transaction(async (tx) =>
    tx.prepare('select id, name from users order by id').all(),
  )
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

const escape = (text: string): string =>
  text.replaceAll(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)

/** The list, and the form for one more. */
export async function usersPage(): Promise<string> {
  const items = (await listUsers()).map(
    ({ name, photo, certificates }) =>
      `<li>${photo === null ? '' : `<img src="${photo}" alt="" height="40">`} ${escape(name)} ${certificates
        .map(({ path, filename }) => `<a href="${path}">${escape(filename)}</a>`)
        .join(' ')}</li>`,
  )
  return `<!doctype html><meta charset="utf-8"><title>Users</title><ul>${items.join('')}</ul>
<form method="post" action="/users" enctype="multipart/form-data">
  <input name="user[name]" placeholder="Name" required>
  <input name="user[photo]" type="file" accept="image/*">
  <input name="user[certificates][]" type="file" multiple>
  <button>Save</button>
</form>`
}
