import { Readable } from 'node:stream'
import { isEmptyInput } from '../../blobs/blob-like.ts'
import { toNonEmptyStream } from '../../blobs/byte-stream.ts'
import { createSemaphore } from '../../async/semaphore.ts'
import { checkFieldName, createCounter, type CompleteFormLimits } from './limits.ts'
import type { PartHead } from './part-head.ts'
import type { Sink } from './sink.ts'

/** Files that are staged at once: small ones come faster than a database takes them. */
const MAX_PARALLEL_FILES = 4

/** A file as it streams in. */
export interface FormFile {
  readonly name: string
  /** As it was sent, folders included. */
  readonly filename: string
  readonly contentType: string
  readonly io: AsyncIterable<Uint8Array>
}

/** Takes the files of a form within its limits. */
export interface FormFileReader {
  open(head: PartHead): Sink
  /** Resolves when all that came have been taken. Rejects with the first error. */
  finish(): Promise<void>
  /** Ends what is being taken. Resolves when nothing is any more. */
  abort(error: unknown): Promise<void>
}

/** What a file's reader says of the form's: it takes no more for the moment, or takes more. */
export interface FlowControl {
  pause(): void
  resume(): void
}

export function createFileReader(
  limits: CompleteFormLimits,
  flow: FlowControl,
  take: (file: FormFile) => Promise<void>,
  fail: (error: unknown) => void,
): FormFileReader {
  const count = createCounter(limits, 'files')
  const { acquire: myTurn, release: give } = createSemaphore(MAX_PARALLEL_FILES)
  const open = new Set<Readable>()
  const full = new Set<Readable>()
  const work = new Set<Promise<void>>()

  const stream = (): Readable => {
    const goOn = (): void => {
      if (full.delete(io) && full.size === 0) flow.resume()
    }
    const io = new Readable({ read: goOn })
    open.add(io)
    // One that nobody reads yet may end badly before somebody does.
    io.on('error', () => undefined)
    io.once('close', () => {
      open.delete(io)
      goOn()
    })
    return io
  }

  const handle = async (head: PartHead, io: Readable): Promise<void> => {
    await myTurn()
    try {
      if (io.errored !== null) throw io.errored
      const bytes = await openChosenFile(head, io)
      if (bytes !== null)
        await take({
          name: head.name,
          filename: head.filename ?? '',
          contentType: head.contentType,
          io: bytes,
        })
    } finally {
      give()
    }
  }

  return {
    open(head) {
      count()
      checkFieldName(head.name, limits)
      const io = stream()
      const one: Promise<void> = handle(head, io)
        .catch(fail)
        .finally(() => work.delete(one))
      work.add(one)
      return {
        write(piece) {
          if (io.push(piece) || io.destroyed) return
          full.add(io)
          flow.pause()
        },
        end: () => void io.push(null),
      }
    },
    async finish() {
      await Promise.all(work)
    },
    async abort(error) {
      for (const io of open) io.destroy(error as Error)
      await Promise.all(work)
    },
  }
}

/** null: an input for a file that was left empty. */
async function openChosenFile(
  { filename = '', contentType }: PartHead,
  io: Readable,
): Promise<AsyncIterable<Uint8Array> | null> {
  if (!isEmptyInput({ name: filename, type: contentType, size: 0 }, undefined)) return io
  // Only its bytes tell whether somebody chose a file.
  return toNonEmptyStream(io as AsyncIterable<Uint8Array>)
}
