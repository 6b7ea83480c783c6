import { uploadStats, type Stats } from '../delayed/stats.ts'
import { fetchUploadsWithFiles, findOurs, isOurs, selectUploads } from '../delayed/upload-rows.ts'
import { InvalidInputError } from '../errors.ts'
import { shown } from '../message.ts'
import { filesOf } from '../staging/file-rows.ts'
import { isUuid } from '../uuid.ts'
import { PURPOSE, type AttachedContext } from './context.ts'
import { uploadValue } from './delayed-values.ts'
import type { DelayedUpload } from './values.ts'

/** Which uploads to list. */
export interface DelayedUploadFilter<N extends string = string> {
  readonly state?: DelayedUpload['state']
  readonly model?: N
  /** Default 100. */
  readonly limit?: number
  /** The id of the last one of the page before. */
  readonly after?: string
}

/** `storage.delayedUploads`: what is on its way, or failed, of all records. */
export interface DelayedUploads<N extends string = string> {
  /** null: there is none, or it is done. */
  find(id: string): Promise<DelayedUpload | null>
  /** null: not signed by this storage, or done. */
  findSigned(signedId: string): Promise<DelayedUpload | null>
  /** Oldest first. */
  list(filter?: DelayedUploadFilter<N>): Promise<DelayedUpload[]>
  /** Counts, ages and bytes, for dashboards and alarms. */
  stats(): Promise<Stats>
}

export function delayedUploads(context: AttachedContext): DelayedUploads {
  const find = async (id: string): Promise<DelayedUpload | null> => {
    if (typeof id !== 'string')
      throw new InvalidInputError(`${shown(id)} is no id of an upload: give text.`)
    if (!isUuid(id)) return null
    const { session } = await context.store()
    const row = await findOurs(session, id)
    return row === null || row.state === 'attached'
      ? null
      : uploadValue(context, row, await filesOf(session, [row.token]), null)
  }
  return {
    find,
    async findSigned(signedId) {
      const found = context.verifier.verify(signedId, { purpose: PURPOSE.upload })
      return found === null || 'expired' in found ? null : find(String(found.value))
    },
    async list({ state, model, limit = 100, after } = {}) {
      if (!(Number.isInteger(limit) && limit > 0))
        throw new InvalidInputError(`limit is ${shown(limit)}: give a whole number above 0.`)
      if (after !== undefined && !(typeof after === 'string' && isUuid(after)))
        throw new InvalidInputError(
          `after is ${shown(after)}: give the id of the last upload of the page before.`,
        )
      if (state !== undefined && !['pending', 'running', 'failed'].includes(state))
        throw new InvalidInputError(
          `state is ${shown(state)}: give 'pending', 'running' or 'failed'.`,
        )
      if (model !== undefined && typeof model !== 'string')
        throw new InvalidInputError(`model is ${shown(model)}: give the name of a model.`)
      const { session } = await context.store()
      let query = selectUploads(session).where(isOurs)
      query =
        state === undefined
          ? query.where('u.state', '!=', 'attached')
          : query.where('u.state', '=', state)
      if (model !== undefined) query = query.where('u.uploadable_type', '=', model)
      // Tokens sort by time, and the page before may be done and gone.
      if (after !== undefined) query = query.where('u.token', '>', after)
      const rows = await fetchUploadsWithFiles(session, query.orderBy('u.token').limit(limit))
      return rows
        .toSorted((a, b) => (a.upload.token < b.upload.token ? -1 : 1))
        .map(({ upload, files }) => uploadValue(context, upload, files, null))
    },
    stats: async () => uploadStats(await context.store()),
  }
}
