import type { StorageContext } from '../../attached/context.ts'
import { findLaneOfUpload } from '../../attached/lookups.ts'
import { readTokenId } from '../../attached/signed-tokens.ts'
import { findSnapshots } from '../../attached/upload-snapshot.ts'
import { assertLaneReadable } from '../authorize.ts'
import { FINAL_ID_PREFIX, streamEvents } from '../progress/event-stream.ts'
import type { ProgressHub } from '../progress/hub.ts'
import { notFound, respond, respondJson } from '../responses.ts'
import type { Params } from '../router.ts'

/**
 * Responds with an upload's state: as JSON, or as server-sent events when the request accepts them.
 */
export async function showUpload(
  context: StorageContext,
  hub: ProgressHub,
  request: Request,
  { token = '' }: Params,
): Promise<Response> {
  const id = readTokenId(context, 'upload', token)
  if (id === null) throw notFound()
  const wantsEvents = request.headers.get('accept')?.includes('text/event-stream') === true
  const lastEventId = request.headers.get('last-event-id')
  // The browser has the final state, and reconnects because the stream ended. 204 makes it stop.
  if (wantsEvents && lastEventId?.startsWith(FINAL_ID_PREFIX) === true)
    return respond(204, { 'Cache-Control': 'no-store' })
  const snapshot = (await findSnapshots(context, [id])).get(id)
  if (snapshot === undefined) throw notFound()
  const lane = context.authorize === undefined ? null : await findLaneOfUpload(context, id)
  await assertLaneReadable(context, request, lane)
  if (!wantsEvents) return respondJson(200, snapshot, { Vary: 'Accept' })
  return respond(
    200,
    {
      'Content-Type': 'text/event-stream; charset=utf-8',
      // Compressing middleware, common in Express and Next apps, would hold events back without
      // 'no-transform'.
      'Cache-Control': 'no-store, no-transform',
      Vary: 'Accept',
      'X-Accel-Buffering': 'no',
    },
    request.method === 'HEAD' ? null : streamEvents(hub, id, lastEventId),
  )
}
