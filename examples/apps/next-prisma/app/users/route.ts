import { publicErrorOf } from 'activestorage-delayed'
import { db, storage } from '../../lib/storage.ts'

// A route, and not a server action: an action has read the whole form, in memory, before it begins.
export async function POST(request: Request): Promise<Response> {
  try {
    const { values, files } = await storage.parseForm(request, { model: 'User' })
    await db.user.create({
      data: {
        name: String(values.name ?? ''),
        photoTmp: files.photo,
        certificatesTmp: files.certificates,
      },
    })
    return new Response(null, { status: 303, headers: { Location: '/' } })
  } catch (error) {
    const { statusCode, message, reference } = publicErrorOf(error)
    if (reference !== null) console.error(reference, error)
    return new Response(message, { status: statusCode })
  }
}
