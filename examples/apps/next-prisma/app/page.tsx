import { db } from '../lib/storage.ts'

// Asks the database at each request.
export const dynamic = 'force-dynamic'

export default async function Page() {
  const users = await db.user.findMany({ orderBy: { id: 'asc' } })
  return (
    <main>
      <ul>
        {users.map((user) => (
          <Item key={user.id} user={user} />
        ))}
      </ul>
      <form method="post" action="/users" encType="multipart/form-data">
        <input name="user[name]" placeholder="Name" required />
        <input name="user[photo]" type="file" accept="image/*" />
        <input name="user[certificates][]" type="file" multiple />
        <button>Save</button>
      </form>
    </main>
  )
}

type User = Awaited<ReturnType<typeof db.user.findMany>>[number]

async function Item({ user }: { readonly user: User }) {
  const photo = await user.photo.latest()
  const certificates = await user.certificates.latest()
  return (
    <li>
      {photo !== null && <img src={photo.path()} alt="" height="40" />} {user.name}{' '}
      {certificates.map((file) => (
        <a key={file.path()} href={file.path()}>
          {file.filename}
        </a>
      ))}
    </li>
  )
}
