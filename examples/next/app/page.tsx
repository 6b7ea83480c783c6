import { listUsers } from '../users.ts'

// Asks the database at each request.
export const dynamic = 'force-dynamic'

export default async function Page() {
  const users = await listUsers()
  return (
    <main>
      <ul>
        {users.map(({ name, photo, certificates }, index) => (
          <li key={index}>
            {photo !== null && <img src={photo} alt="" height="40" />} {name}{' '}
            {certificates.map(({ path, filename }) => (
              <a key={path} href={path}>
                {filename}
              </a>
            ))}
          </li>
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
