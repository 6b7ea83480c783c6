import { deleteAttachments, lockAttachments } from '../attachments/attachment-rows.ts'
import { bindId, canonicalizeId, describeLane, lockLanes, type Lane } from '../attachments/lane.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import type { Log } from '../diagnostics/log.ts'
import { InvalidInputError, type ActiveStorageError } from '../errors/errors.ts'
import { KEEPS_NOTHING, listReplaceable } from '../delayed/keeps.ts'
import { createUpload } from '../delayed/create-upload.ts'
import { findRecordUploads } from '../delayed/upload-rows.ts'
import type { FileRow } from '../staging/file-rows.ts'
import { createJoinedTarget, stageIncomingFile } from '../staging/stage.ts'
import { MalformedFilesError, parseFilesText, type Piece } from './files-text.ts'
import {
  readFilesColumn,
  findLanesToMove,
  lockGemRows,
  type GemRow,
  type KnownAttachment,
} from './gem-rows.ts'
import { failGemRow, deleteGemRowsById } from '../delayed/upload-transitions.ts'

/** Options of `moveGemRows`. */
export interface MoveGemRowsOptions {
  readonly store: Store
  /** All attachments that the storage defines. Rows of others stay as they are. */
  readonly knownAttachments: readonly KnownAttachment[]
  /** Returns the kind of an attachment. */
  kindOf(lane: Lane): 'one' | 'many'
  /** Milliseconds. Younger rows are left to a Rails job that may be about to run. */
  readonly moveAfter: number
  /** Milliseconds until the row of a moved file may be deleted. */
  readonly expiresIn: number
  readonly log: Log
  /** Ends the run between two lanes; the next sweep moves the rest. */
  readonly stopping?: AbortSignal | undefined
}

const LANE_BATCH_SIZE = 100

/**
 * Turns the rows that the Ruby gem wrote into uploads: base64 becomes staged bytes. The gem's row
 * is deleted in the same transaction, so that a late Rails job finds nothing to do. All rows of a
 * lane move in one transaction, oldest first. Returns an error for each row that failed for good.
 */
export async function moveGemRows(options: MoveGemRowsOptions): Promise<ActiveStorageError[]> {
  const failed: ActiveStorageError[] = []
  if (options.knownAttachments.length === 0) return failed
  for (;;) {
    const lanes = await findLanesToMove(
      options.store.session,
      options.knownAttachments,
      options.moveAfter,
      LANE_BATCH_SIZE,
    )
    let rows = 0
    for (const lane of lanes) {
      if (options.stopping?.aborted === true) return failed
      const moved = await options.store
        .transact((session) => moveLane(options, session, lane))
        .catch((error: unknown) => {
          options.log(
            'error',
            'Rows that the gem wrote could not be moved; the next sweep tries again.',
            {
              ...describeLane(lane),
              error,
            },
          )
          return { rows: 0, malformed: [] }
        })
      rows += moved.rows
      for (const { rowId, error } of moved.malformed) {
        options.log(
          'error',
          `A row that the gem wrote cannot be moved; it stays as it is. ${error.message}`,
          { ...error.details, row: rowId },
        )
        failed.push(error)
      }
    }
    // Rows that a Rails job has locked are left to the next sweep.
    if (lanes.length < LANE_BATCH_SIZE || rows === 0) return failed
  }
}

interface MovedLane {
  /** Number of rows that were moved or marked as failed. */
  readonly rows: number
  /** Rows that cannot be moved, each with its error. */
  readonly malformed: readonly { readonly rowId: string; readonly error: ActiveStorageError }[]
}

async function moveLane(
  options: MoveGemRowsOptions,
  session: Session,
  found: Lane,
): Promise<MovedLane> {
  const { recordId } = options.store
  const lane = { ...found, id: canonicalizeId(found.id, recordId, found.type) }
  await lockLanes(session, [lane])
  const rows = await lockGemRows(session, lane, bindId(lane.id, recordId), options.moveAfter)
  const malformed: MovedLane['malformed'][number][] = []
  for (const row of rows) {
    try {
      await moveRow(options, session, row)
    } catch (error) {
      if (!(error instanceof MalformedFilesError)) throw error
      await failGemRow(session, row.id, error.message)
      malformed.push({
        rowId: row.id,
        error: new InvalidInputError(error.message, { details: describeLane(lane) }),
      })
    }
  }
  return { rows: rows.length, malformed }
}

async function moveRow(options: MoveGemRowsOptions, session: Session, row: GemRow): Promise<void> {
  const kind = options.kindOf(row.lane)
  // The text is read to its end first, so that a malformed row changes nothing.
  if (row.length !== null)
    for await (const piece of parseFilesText(readFilesColumn(session, row))) void piece
  const files = row.length === null ? [] : await stageGemFiles(options, session, row)
  const many = kind === 'many'
  const deletedIds = many
    ? row.deletedIds
        .split(',')
        .filter((id) => /^\d{1,19}$/.test(id))
        .map((id) => String(BigInt(id)))
    : []
  await deleteAttachments(session, row.lane, deletedIds, { purge: true })
  // Blobs that a younger submission keeps stay attached, as if this row had been moved before it.
  const younger = (
    await findRecordUploads(session, row.lane.type, [row.lane.id], { name: row.lane.name })
  ).filter(({ order }) => order > BigInt(row.id))
  const keeps = { blobs: younger.flatMap((upload) => upload.keeps.blobs), files: [] }
  const attached = await lockAttachments(session, row.lane)
  const replaceable = listReplaceable(attached, keeps).map(({ attachmentId }) => attachmentId)
  const cleanBefore = many && row.cleanBefore
  if (files.length > 0)
    await createUpload(session, {
      lane: row.lane,
      files: many ? files : files.slice(-1),
      surplus: many ? [] : files.slice(0, -1),
      cleanBefore,
      replaces: many && !cleanBefore ? null : replaceable,
      keeps: KEEPS_NOTHING,
      originId: row.id,
    })
  else if (cleanBefore) await deleteAttachments(session, row.lane, replaceable, { purge: true })
  await deleteGemRowsById(session, [row.id])
}

/**
 * Stages the files of a row. The gem writes a file's bytes before its name, so a file is staged as
 * its bytes come and gets its name at the end.
 */
async function stageGemFiles(
  options: MoveGemRowsOptions,
  session: Session,
  row: GemRow,
): Promise<FileRow[]> {
  const pieces = parseFilesText(readFilesColumn(session, row))[Symbol.asyncIterator]()
  const files: FileRow[] = []
  for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) {
    const first = next.value
    const label: { filename: string; declaredType?: string } = { filename: '' }
    const bytes = async function* (): AsyncGenerator<Uint8Array> {
      for (let piece: Piece | undefined = first; piece !== undefined;) {
        if (piece.kind === 'file') {
          label.filename = piece.filename
          if (piece.contentType !== undefined) label.declaredType = piece.contentType
          return
        }
        yield piece.data
        const after: IteratorResult<Piece> = await pieces.next()
        piece = after.done === true ? undefined : after.value
      }
    }
    const file = await stageIncomingFile(
      createJoinedTarget(session),
      {
        get filename() {
          return label.filename
        },
        get declaredType() {
          return label.declaredType
        },
        open: bytes,
      },
      {
        expiresIn: options.expiresIn,
        limits: {},
        details: describeLane(row.lane),
        nameComesLast: true,
      },
    )
    files.push(file)
  }
  return files
}
