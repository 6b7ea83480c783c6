import { isUuid } from '../database/uuid.ts'
import { readUploadStats, type Stats } from '../delayed/stats.ts'
import { findOwnUpload } from '../delayed/upload-rows.ts'
import { InvalidInputError } from '../errors/errors.ts'
import { formatValue } from '../errors/message.ts'
import { findFilesOfUploads } from '../staging/file-rows.ts'
import type { StorageContext } from './context.ts'
import { toDelayedUpload } from './delayed-values.ts'
import { listUploads } from './list-uploads.ts'
import { createChangeScope } from './scope.ts'
import { readTokenId } from './signed-tokens.ts'
import { readUploadFilter, type DelayedUploadFilter } from './upload-filter.ts'
import type { DelayedUpload } from './values.ts'

/** `storage.delayedUploads`: pending, running and failed uploads of all records. */
export interface DelayedUploads<N extends string = string> {
  /** Finds an upload. null: there is none, or it is finished. */
  find(id: string): Promise<DelayedUpload | null>
  /**
   * Finds the upload of a signed id. null: the id was not signed by this storage, or the upload is
   * finished.
   */
  findSigned(signedId: string): Promise<DelayedUpload | null>
  /**
   * Reads one page of uploads, newest first. The next page comes after the id of the last upload:
   * `{ after: page.at(-1)?.id }`. Throws InvalidInputError.
   */
  list(filter?: DelayedUploadFilter<N>): Promise<DelayedUpload[]>
  /** Reads counts, ages and bytes, for dashboards and alarms. */
  stats(): Promise<Stats>
}

/** Creates `storage.delayedUploads`. */
export function createDelayedUploads(context: StorageContext): DelayedUploads {
  const scope = createChangeScope(context)
  const find = async (id: string): Promise<DelayedUpload | null> => {
    if (typeof id !== 'string')
      throw new InvalidInputError(`${formatValue(id)} is no upload id: give text.`)
    if (!isUuid(id)) return null
    const { session } = await context.store()
    const row = await findOwnUpload(session, id)
    return row === null || row.state === 'attached'
      ? null
      : toDelayedUpload(scope, row, await findFilesOfUploads(session, [row.token]))
  }
  return {
    find,
    async findSigned(signedId) {
      const id = readTokenId(context, 'upload', signedId)
      return id === null ? null : find(id)
    },
    async list(filter = {}) {
      const { session } = await context.store()
      const rows = await listUploads(session, readUploadFilter(filter, session.recordId))
      return rows.map(({ upload, files }) => toDelayedUpload(scope, upload, files))
    },
    stats: async () => readUploadStats(await context.store()),
  }
}
