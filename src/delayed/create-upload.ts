import { sql } from 'kysely'
import { describeLane, type Lane } from '../attachments/lane.ts'
import { now } from '../database/expressions.ts'
import type { Session } from '../database/session.ts'
import { uuidv7 } from '../database/uuid.ts'
import type { ErrorDetails } from '../errors/errors.ts'
import type { FileRow } from '../staging/file-rows.ts'
import { attachStagedFile, dropUnlinkedFile } from '../staging/file-transitions.ts'
import type { Keeps } from './keeps.ts'
import { createExpiredError } from './staged-file-errors.ts'
import type { UploadRow } from './upload-rows.ts'
import { insertUpload } from './upload-transitions.ts'

/** An upload to be written, with the files that it takes. */
export interface NewUpload {
  readonly lane: Lane
  readonly files: readonly Pick<FileRow, 'id' | 'filename'>[]
  /** Files that are dropped: of several files for a has-one only the last is linked. */
  readonly surplus: readonly Pick<FileRow, 'id'>[]
  readonly cleanBefore: boolean
  /** Ids of the attachments that the upload replaces; null: it appends. */
  readonly replaces: readonly string[] | null
  readonly keeps: Keeps
  /** Id of the gem's row whose place the upload takes. */
  readonly originId?: string
}

/**
 * Links the files and writes the upload's row. The caller holds the lane's lock. Throws
 * StagedFileExpiredError if a file is no longer staged, or another upload has it.
 */
export async function createUpload(session: Session, upload: NewUpload): Promise<UploadRow> {
  const { lane, surplus, cleanBefore, replaces, keeps, originId } = upload
  const token = uuidv7()
  await linkFiles(session, token, upload.files, describeLane(lane))
  for (const { id } of surplus) await dropUnlinkedFile(session, id)
  return insertUpload(session, {
    token,
    lane,
    cleanBefore,
    replaces,
    keeps,
    ...(originId === undefined ? {} : { originId }),
  })
}

/**
 * Links files to the upload before its row is written, so that a refusal leaves nothing behind even
 * if the app commits nevertheless.
 */
async function linkFiles(
  session: Session,
  token: string,
  files: NewUpload['files'],
  details: ErrorDetails,
): Promise<void> {
  const position = sql<number>`case id ${sql.join(
    files.map((file, index) => sql`when ${file.id} then ${sql.lit(index)}`),
    sql` `,
  )} end`
  const result = await session.db
    .updateTable('files')
    .where(
      'id',
      'in',
      files.map((file) => file.id),
    )
    .where('upload_token', 'is', null)
    .where('state', '=', 'staged')
    .where('expires_at', '>', now(session.dialect))
    .set({ upload_token: token, position })
    .executeTakeFirst()
  if (Number(result.numUpdatedRows) === files.length) return
  await session.db
    .updateTable('files')
    .set({ upload_token: null })
    .where('upload_token', '=', token)
    .execute()
  throw createExpiredError(files.map((file) => file.filename).join(', '), details)
}

/**
 * Gives a staged file that is attached already a token of its own, so that its row answers a second
 * submission as that of a file that a worker attached. Throws StagedFileExpiredError.
 */
export async function assignAttachedFile(
  session: Session,
  file: FileRow,
  key: string,
  details: ErrorDetails,
): Promise<void> {
  if (!(await attachStagedFile(session, file, { token: uuidv7(), key })))
    throw createExpiredError(file.filename, details)
}
