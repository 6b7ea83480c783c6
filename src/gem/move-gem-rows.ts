import { deleteAttachments, lockAttachments } from '../attachments/attachment-rows.ts'
import { bindId, canonicalizeId, lockLanes, type Lane } from '../attachments/lane.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import type { Log } from '../diagnostics/log.ts'
import { InvalidInputError, type ActiveStorageError } from '../errors/errors.ts'
import { KEEPS_NOTHING, findReplaceable } from '../delayed/keeps.ts'
import { createUpload } from '../delayed/link.ts'
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

export interface MoveGemRowsOptions {
  readonly store: Store
  readonly knownAttachments: readonly KnownAttachment[]
  kindOf(lane: Lane): 'one' | 'many'
  /** Milliseconds: younger rows are left to a Rails job that may be about to run. */
  readonly moveAfter: number
  /** Milliseconds that the rows of moved files stay to answer. */
  readonly expiresIn: number
  readonly log: Log
  /** What is left when it aborts is the next sweep's. */
  readonly stopping?: AbortSignal | undefined
}

const LANE_BATCH_SIZE = 100

/**
 * Moves the rows that the Ruby gem wrote into ours: base64 becomes staged bytes, and the gem's row goes in the same
 * transaction, so that a Rails job that comes late finds nothing to do. A lane's rows move together, oldest first.
 * Returns an error for each row that failed for good.
 */
export async function moveGemRows(room: MoveGemRowsOptions): Promise<ActiveStorageError[]> {
  const failed: ActiveStorageError[] = []
  if (room.knownAttachments.length === 0) return failed
  for (;;) {
    const lanes = await findLanesToMove(
      room.store.session,
      room.knownAttachments,
      room.moveAfter,
      LANE_BATCH_SIZE,
    )
    let settled = 0
    for (const lane of lanes) {
      if (room.stopping?.aborted === true) return failed
      const moved = await room.store
        .transact((session) => moveLane(room, session, lane))
        .catch((error: unknown) => {
          const record = { type: lane.type, id: lane.id }
          room.log(
            'error',
            'Rows that the gem wrote could not be moved; the next sweep tries again.',
            {
              record,
              attachment: lane.name,
              error,
            },
          )
          return { rows: 0, malformed: [] }
        })
      settled += moved.rows
      failed.push(...moved.malformed)
    }
    // Those that a Rails job holds are met again by the next sweep.
    if (lanes.length < LANE_BATCH_SIZE || settled === 0) return failed
  }
}

interface MovedLane {
  /** How many it was done with. */
  readonly rows: number
  /** An error for each that cannot be moved. */
  readonly malformed: readonly ActiveStorageError[]
}

async function moveLane(
  room: MoveGemRowsOptions,
  session: Session,
  found: Lane,
): Promise<MovedLane> {
  const { recordId } = room.store
  const lane = { ...found, id: canonicalizeId(found.id, recordId, found.type) }
  await lockLanes(session, [lane])
  const rows = await lockGemRows(session, lane, bindId(lane.id, recordId), room.moveAfter)
  const malformed: ActiveStorageError[] = []
  for (const row of rows) {
    try {
      await moveRow(room, session, row)
    } catch (error) {
      if (!(error instanceof MalformedFilesError)) throw error
      await failGemRow(session, row.id, error.message)
      malformed.push(
        new InvalidInputError(error.message, {
          details: { record: { type: lane.type, id: lane.id }, attachment: lane.name },
        }),
      )
      room.log(
        'error',
        `A row that the gem wrote cannot be moved; it stays as it is. ${error.message}`,
        {
          record: { type: lane.type, id: lane.id },
          attachment: lane.name,
          row: row.id,
        },
      )
    }
  }
  return { rows: rows.length, malformed }
}

async function moveRow(room: MoveGemRowsOptions, session: Session, row: GemRow): Promise<void> {
  const kind = room.kindOf(row.lane)
  // Read to the end first: what is malformed must not have had half of its effect.
  if (row.length !== null)
    for await (const piece of parseFilesText(readFilesColumn(session, row))) void piece
  const files = row.length === null ? [] : await stageGemFiles(room, session, row)
  const many = kind === 'many'
  const deletedIds = many
    ? row.deletedIds
        .split(',')
        .filter((id) => /^\d{1,19}$/.test(id))
        .map((id) => String(BigInt(id)))
    : []
  await deleteAttachments(session, row.lane, deletedIds, { purge: true })
  // What a younger submission names stays, as it would if this row had been moved before.
  const younger = (
    await findRecordUploads(session, row.lane.type, [row.lane.id], row.lane.name)
  ).filter(({ order }) => order > BigInt(row.id))
  const keeps = { blobs: younger.flatMap((upload) => upload.keeps.blobs), files: [] }
  const attached = findReplaceable(await lockAttachments(session, row.lane), keeps)
  const cleanBefore = many && row.cleanBefore
  if (files.length > 0)
    await createUpload(session, {
      lane: row.lane,
      files: many ? files : files.slice(-1),
      surplus: many ? [] : files.slice(0, -1),
      cleanBefore,
      replaces: many && !cleanBefore ? null : attached,
      keeps: KEEPS_NOTHING,
      originId: row.id,
    })
  else if (cleanBefore) await deleteAttachments(session, row.lane, attached, { purge: true })
  await deleteGemRowsById(session, [row.id])
}

/** The gem writes a file's bytes before its name: each is staged as they come, and named when its name is read. */
async function stageGemFiles(
  room: MoveGemRowsOptions,
  session: Session,
  row: GemRow,
): Promise<FileRow[]> {
  const pieces = parseFilesText(readFilesColumn(session, row))[Symbol.asyncIterator]()
  const files: FileRow[] = []
  for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) {
    const first = next.value
    const named: { filename: string; declaredType?: string } = { filename: '' }
    const bytes = async function* (): AsyncGenerator<Uint8Array> {
      for (let piece: Piece | undefined = first; piece !== undefined;) {
        if (piece.kind === 'file') {
          named.filename = piece.filename
          if (piece.contentType !== undefined) named.declaredType = piece.contentType
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
          return named.filename
        },
        get declaredType() {
          return named.declaredType
        },
        open: bytes,
      },
      {
        expiresIn: room.expiresIn,
        limits: {},
        details: { record: { type: row.lane.type, id: row.lane.id }, attachment: row.lane.name },
        nameComesLast: true,
      },
    )
    files.push(file)
  }
  return files
}
