import type { User } from './user.entity.js'

/** The list, and the form for one more. */
export async function usersPage(users: readonly User[]): Promise<string> {
  const items = await Promise.all(users.map(item))
  return `<!doctype html><meta charset="utf-8"><title>Users</title><ul>${items.join('')}</ul>
<form method="post" action="/users" enctype="multipart/form-data">
  <input name="user[name]" placeholder="Name" required>
  <input name="user[photo]" type="file" accept="image/*">
  <input name="user[certificates][]" type="file" multiple>
  <button>Save</button>
</form>`
}

async function item(user: User): Promise<string> {
  const photo = await user.photo.latest()
  const certificates = await user.certificates.latest()
  const links = certificates.map((file) => `<a href="${file.path()}">${escape(file.filename)}</a>`)
  return `<li>${photo === null ? '' : `<img src="${photo.path()}" alt="" height="40">`} ${escape(user.name)} ${links.join(' ')}</li>`
}

const escape = (text: string): string =>
  text.replaceAll(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
