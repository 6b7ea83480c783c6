import { Readable } from 'node:stream'
import { createSemaphore } from '../../async/semaphore.ts'
import { isEmptyInput } from '../../blobs/blob-like.ts'
import { toNonEmptyStream } from '../../blobs/byte-stream.ts'
import { checkFieldName, createCounter, type CompleteFormLimits } from './limits.ts'
import type { PartHead } from './part-head.ts'
import type { Sink } from './sink.ts'

/** Files that are staged in parallel. Small files arrive faster than a database stores them. */
const MAX_PARALLEL_FILES = 4

/** A file of a form as a stream. */
export interface FormFile {
  /** Name of the form's field. */
  readonly name: string
  /** Filename as the client sent it, with folders. */
  readonly filename: string
  readonly contentType: string
  /** The bytes. `take` must read them to the end. */
  readonly io: AsyncIterable<Uint8Array>
}

/** Pauses and resumes the form while a file cannot take more bytes. */
export interface FlowControl {
  pause(): void
  resume(): void
}

/** Reads the files of a form within its limits, and hands them to `take` in parallel. */
export class FormFileReader {
  readonly #limits: CompleteFormLimits
  readonly #flow: FlowControl
  readonly #take: (file: FormFile) => Promise<void>
  readonly #fail: (error: unknown) => void
  readonly #count: () => void
  readonly #semaphore = createSemaphore(MAX_PARALLEL_FILES)
  readonly #streams = new Set<Readable>()
  /** Streams whose buffer is full. */
  readonly #full = new Set<Readable>()
  readonly #running = new Set<Promise<void>>()

  constructor(
    limits: CompleteFormLimits,
    flow: FlowControl,
    take: (file: FormFile) => Promise<void>,
    fail: (error: unknown) => void,
  ) {
    this.#limits = limits
    this.#flow = flow
    this.#take = take
    this.#fail = fail
    this.#count = createCounter(limits, 'files')
  }

  /** Begins a file. Throws FormLimitError. */
  open(head: PartHead): Sink {
    this.#count()
    checkFieldName(head.name, this.#limits)
    const io = this.#createStream()
    const running: Promise<void> = this.#run(head, io)
      .catch(this.#fail)
      .finally(() => this.#running.delete(running))
    this.#running.add(running)
    return {
      write: (piece) => {
        if (io.push(piece) || io.destroyed) return
        this.#full.add(io)
        this.#flow.pause()
      },
      end: () => void io.push(null),
    }
  }

  /** Resolves when all files have been taken. */
  async finish(): Promise<void> {
    await Promise.all(this.#running)
  }

  /** Breaks off all open files, and resolves when `take` has ended for each. */
  async abort(reason: unknown): Promise<void> {
    const error = reason instanceof Error ? reason : new Error(String(reason))
    for (const io of this.#streams) io.destroy(error)
    await Promise.all(this.#running)
  }

  #createStream(): Readable {
    const resume = (): void => {
      if (this.#full.delete(io) && this.#full.size === 0) this.#flow.resume()
    }
    const io = new Readable({ read: resume })
    this.#streams.add(io)
    // A stream may fail before `take` listens to it.
    io.on('error', () => undefined)
    io.once('close', () => {
      this.#streams.delete(io)
      resume()
    })
    return io
  }

  async #run(head: PartHead, io: Readable): Promise<void> {
    await this.#semaphore.acquire()
    try {
      if (io.errored !== null) throw io.errored
      const bytes = await openChosenFile(head, io)
      if (bytes === null) return
      const { name, filename = '', contentType } = head
      await this.#take({ name, filename, contentType, io: bytes })
    } finally {
      this.#semaphore.release()
    }
  }
}

/** Returns null for a file input that was left empty. Browsers send it as a file without a name. */
async function openChosenFile(
  { filename = '', contentType }: PartHead,
  io: AsyncIterable<Uint8Array>,
): Promise<AsyncIterable<Uint8Array> | null> {
  if (!isEmptyInput({ name: filename, type: contentType, size: 0 }, undefined)) return io
  // The head is also possible for a file, so the bytes decide.
  return toNonEmptyStream(io)
}
