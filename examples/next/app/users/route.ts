import { ActiveStorageError } from 'activestorage-delayed'
import { createUser, storage } from '../../users.ts'

// A route, and not a server action: an action has read the whole form, in memory, before it begins.
export async function POST(request: Request): Promise<Response> {
  try {
    await createUser(await storage.parseForm(request, { model: 'User' }))
    return new Response(null, { status: 303, headers: { Location: '/' } })
  } catch (error) {
    if (!(error instanceof ActiveStorageError)) throw error
    return Response.json({ error: error.message }, { status: error.statusCode })
  }
}
