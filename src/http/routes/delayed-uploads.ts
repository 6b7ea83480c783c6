import { readTokenId } from '../../attached/signed-tokens.ts'
import type { StorageContext } from '../../attached/context.ts'
import { createHash } from 'node:crypto'
import { findAttachmentsOfBlob } from '../../attachments/attachment-rows.ts'
import type { Lane } from '../../attachments/lane.ts'
import { findBlobs } from '../../blobs/blob-rows.ts'
import { findUpload } from '../../delayed/upload-rows.ts'
import { findFilesOfUploads } from '../../staging/file-rows.ts'
import { respond, respondJson, notFound } from '../responses.ts'
import { assertAllowed } from '../authorize.ts'
import type { Params } from '../router.ts'
import type { ProgressHub } from '../progress/hub.ts'
import { isFinishedSnapshot, findSnapshots, type UploadSnapshot } from '../progress/snapshot.ts'

/** An upload's state: JSON, or a stream of events for who asks for one. */
export async function showUpload(
  context: StorageContext,
  hub: ProgressHub,
  request: Request,
  { token = '' }: Params,
): Promise<Response> {
  const id = readTokenId(context, 'upload', token)
  if (id === null) throw notFound()
  const wantsEvents = request.headers.get('accept')?.includes('text/event-stream') === true
  const lastId = request.headers.get('last-event-id')
  // It was told of its end, and asks again because its connection ended: this is how it is told not to.
  if (wantsEvents && lastId?.startsWith(END_PREFIX) === true)
    return respond(204, { 'Cache-Control': 'no-store' })
  const snapshot = (await findSnapshots(context, [id])).get(id)
  if (snapshot === undefined) throw notFound()
  const lane = context.authorize === undefined ? null : await findLane(context, id)
  await assertAllowed(context, request, {
    action: 'read',
    ...(lane === null ? {} : { record: { type: lane.type, id: lane.id }, name: lane.name }),
  })
  if (!wantsEvents) return respondJson(200, snapshot, { Vary: 'Accept' })
  return respond(
    200,
    // A compressor in front, as Express apps and Next have it, would hold the events back.
    {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-store, no-transform',
      Vary: 'Accept',
      'X-Accel-Buffering': 'no',
    },
    request.method === 'HEAD' ? null : streamEvents(hub, id, lastId),
  )
}

/** Where the upload was to; of one that is attached, where it is. null: nothing tells any more. */
async function findLane(context: StorageContext, id: string): Promise<Lane | null> {
  const { session } = await context.store()
  const upload = await findUpload(session, id)
  if (upload !== null) return upload.lane
  const keys = (await findFilesOfUploads(session, [id])).flatMap(({ blobKey }) => blobKey ?? [])
  for (const blob of await findBlobs(session, keys))
    for (const attachment of await findAttachmentsOfBlob(session, blob.id)) return attachment
  return null
}

const END_PREFIX = 'end-'
const createEventId = (snapshot: UploadSnapshot, data: string): string =>
  `${isFinishedSnapshot(snapshot) ? END_PREFIX : ''}${createHash('sha256').update(data).digest('base64url').slice(0, 16)}`

/**
 * Each event is the whole state, so that a client which missed some has missed nothing, and one that reads slowly gets the
 * newest only. The stream ends with the upload.
 */
function streamEvents(
  hub: ProgressHub,
  token: string,
  lastId: string | null,
): ReadableStream<Uint8Array> {
  let stop = (): void => undefined
  let flush = (): void => undefined
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const encoder = new TextEncoder()
        let waiting: UploadSnapshot | null | undefined
        let toldId = lastId
        const send = (text: string): void => controller.enqueue(encoder.encode(text))
        const isFree = (): boolean => (controller.desiredSize ?? 0) > 0
        flush = () => {
          if (waiting === undefined || !isFree()) return
          const snapshot = waiting
          waiting = undefined
          if (snapshot !== null) {
            const data = JSON.stringify(snapshot)
            const id = createEventId(snapshot, data)
            if (id !== toldId) send(`id: ${id}\ndata: ${data}\n\n`)
            toldId = id
          }
          if (snapshot !== null && !isFinishedSnapshot(snapshot)) return
          stop()
          controller.close()
        }
        const beat = (): void => {
          flush()
          if (isFree()) send(': \n\n')
        }
        const unfollow = hub.follow(token, (snapshot) => {
          waiting = snapshot
          flush()
        })
        hub.heartbeats.add(beat)
        stop = () => {
          unfollow()
          hub.heartbeats.delete(beat)
        }
      },
      pull: () => flush(),
      cancel: () => stop(),
    },
    { highWaterMark: 4 },
  )
}
