import { html } from 'hono/html'
import { db } from './database.ts'
import { users } from './schema.ts'
import { storage } from './storage.ts'

/** The users, with the files that are attached or on their way, and the form for one more. */
export async function usersPage() {
  const rows = await db.select().from(users).orderBy(users.id)
  // All attachments in two statements, however many users there are.
  const records = await storage.records(
    'User',
    rows.map(({ id }) => id),
  )
  const items = records.map(async (record, index) => {
    const photo = await record.photo.latest()
    const certificates = await record.certificates.latest()
    return html`<li>
      ${photo && html`<img src="${photo.path()}" alt="" height="40" />`} ${rows[index]!.name}
      ${certificates.map((file) => html`<a href="${file.path()}">${file.filename}</a> `)}
    </li>`
  })
  return html`<!doctype html>
    <meta charset="utf-8" />
    <title>Users</title>
    <ul>
      ${items}
    </ul>
    <form method="post" action="/users" enctype="multipart/form-data">
      <input name="user[name]" placeholder="Name" required />
      <input name="user[photo]" type="file" accept="image/*" />
      <input name="user[certificates][]" type="file" multiple />
      <button>Save</button>
    </form>`
}
