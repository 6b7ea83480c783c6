import { readTokenId } from './signed-tokens.ts'
import { readUploadStats, type Stats } from '../delayed/stats.ts'
import {
  fetchUploadsWithFiles,
  findOwnUpload,
  isOwnUpload,
  selectUploads,
} from '../delayed/upload-rows.ts'
import { InvalidInputError } from '../errors/errors.ts'
import { formatValue } from '../errors/message.ts'
import { findFilesOfUploads } from '../staging/file-rows.ts'
import { isUuid } from '../database/uuid.ts'
import { type StorageContext } from './context.ts'
import { toDelayedUpload } from './delayed-values.ts'
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

export function createDelayedUploads(context: StorageContext): DelayedUploads {
  const find = async (id: string): Promise<DelayedUpload | null> => {
    if (typeof id !== 'string')
      throw new InvalidInputError(`${formatValue(id)} is no id of an upload: give text.`)
    if (!isUuid(id)) return null
    const { session } = await context.store()
    const row = await findOwnUpload(session, id)
    return row === null || row.state === 'attached'
      ? null
      : toDelayedUpload(context, row, await findFilesOfUploads(session, [row.token]), null)
  }
  return {
    find,
    async findSigned(signedId) {
      const id = readTokenId(context, 'upload', signedId)
      return id === null ? null : find(id)
    },
    async list({ state, model, limit = 100, after } = {}) {
      if (!(Number.isInteger(limit) && limit > 0))
        throw new InvalidInputError(`limit is ${formatValue(limit)}: give a whole number above 0.`)
      if (after !== undefined && !(typeof after === 'string' && isUuid(after)))
        throw new InvalidInputError(
          `after is ${formatValue(after)}: give the id of the last upload of the page before.`,
        )
      if (state !== undefined && !['pending', 'running', 'failed'].includes(state))
        throw new InvalidInputError(
          `state is ${formatValue(state)}: give 'pending', 'running' or 'failed'.`,
        )
      if (model !== undefined && typeof model !== 'string')
        throw new InvalidInputError(`model is ${formatValue(model)}: give the name of a model.`)
      const { session } = await context.store()
      let query = selectUploads(session).where(isOwnUpload)
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
        .map(({ upload, files }) => toDelayedUpload(context, upload, files, null))
    },
    stats: async () => readUploadStats(await context.store()),
  }
}
