import { storage } from './storage.ts'
import { User } from './user.ts'

const escape = (text: string): string =>
  text.replaceAll(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)

/** The users, with the files that are attached or on their way, and the form for one more. */
export async function usersPage(): Promise<string> {
  const users = await User.findAll({ order: ['id'] })
  // All attachments in two statements, however many users there are.
  const records = await storage.records(
    'User',
    users.map(({ id }) => id),
  )
  const items = await Promise.all(
    records.map(async (record, index) => {
      const photo = await record.photo.latest()
      const certificates = await record.certificates.latest()
      const image = photo === null ? '' : `<img src="${photo.path()}" alt="" height="40">`
      const links = certificates.map(
        (file) => `<a href="${file.path()}">${escape(file.filename)}</a>`,
      )
      return `<li>${image} ${escape(users[index]!.name)} ${links.join(' ')}</li>`
    }),
  )
  return `<!doctype html><meta charset="utf-8"><title>Users</title><ul>${items.join('')}</ul>
<form method="post" action="/users" enctype="multipart/form-data">
  <input name="user[name]" placeholder="Name" required>
  <input name="user[photo]" type="file" accept="image/*">
  <input name="user[certificates][]" type="file" multiple>
  <button>Save</button>
</form>`
}
