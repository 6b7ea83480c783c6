import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve, sep } from 'node:path'
import { FileNotFoundError, InvalidInputError } from '../errors/errors.ts'
import { isMissingFile, toDiskError } from './disk-errors.ts'
import { DiskGate } from './disk-gate.ts'
import { checkKey } from './object-key.ts'
import { checkRange } from './range.ts'
import type { UploadOptions } from './service.ts'

/**
 * Bytes of one read: a quarter of what Node's streams need for the same bytes, and a small file
 * needs one call.
 */
const READ_BYTES = 256 * 1024
/**
 * Older partial files were left by killed processes: a living one never writes for a day without a
 * pause.
 */
const PARTIAL_MAX_AGE_MS = 86_400_000

/**
 * A folder of objects, laid out as Rails' Disk service does: `ab/cd/abcd…`. All calls go through
 * one `DiskGate`.
 */
export class DiskFolder {
  readonly #base: string
  readonly #partials: string
  readonly #gate: DiskGate
  #removedOldPartials: Promise<void> | undefined

  constructor(root: string) {
    this.#base = resolve(root)
    this.#partials = join(this.#base, '.tmp')
    this.#gate = new DiskGate(this.#base)
  }

  /**
   * Publishes an object: writes a partial file, flushes and renames it, so that no reader ever sees
   * half of it.
   */
  async write(
    key: string,
    body: AsyncIterable<Uint8Array>,
    { signal, progress }: Pick<UploadOptions, 'signal' | 'progress'> = {},
  ): Promise<void> {
    const target = this.#pathOf(key)
    await this.#run(key, () => mkdir(this.#partials, { recursive: true }), signal)
    this.#removedOldPartials ??= this.#removeOldPartials()
    await this.#removedOldPartials
    const partial = join(this.#partials, randomUUID())
    const file = await this.#run(key, () => open(partial, 'wx'), signal)
    try {
      try {
        for await (const chunk of body)
          for (let at = 0; at < chunk.length;)
            at += (await this.#gate.run(() => file.write(chunk, at), signal)).bytesWritten
        const flushed = this.#gate.run(() => file.sync(), signal)
        await (progress?.finish(flushed) ?? flushed)
      } finally {
        await this.#gate.cleanUp(() => file.close())
      }
      await this.#gate.run(() => mkdir(dirname(target), { recursive: true }), signal)
      // The signal is looked at once more: the disk may have hung for hours, and the caller may be
      // gone.
      await this.#gate.run(() => rename(partial, target), signal)
    } catch (error) {
      // A file that cannot be removed now is removed after a day.
      await this.#gate.cleanUp(() => rm(partial, { force: true })).catch(() => undefined)
      throw toDiskError(key, error)
    }
    await this.#run(key, () => flushFolder(dirname(target)), signal)
  }

  /**
   * Reads an object, or its bytes from `start` to `end`, both inclusive. Throws FileNotFoundError
   * if there is none, and InvalidInputError for an invalid range.
   */
  async read(
    key: string,
    range: readonly [start: number, end: number] | undefined,
    signal: AbortSignal | undefined,
  ): Promise<AsyncIterable<Uint8Array>> {
    const path = this.#pathOf(key)
    const { size } = await this.#runOnFile(key, () => stat(path), signal)
    checkRange(key, range, size)
    const [start, end] = range ?? [0, size - 1]
    return this.#readRange(key, [start, Math.min(end, size - 1)], signal)
  }

  /** Deletes an object. A missing one is no error. */
  async delete(key: string, signal: AbortSignal | undefined): Promise<void> {
    const path = this.#pathOf(key)
    await this.#run(key, () => rm(path, { force: true }), signal)
  }

  /** Deletes the objects whose keys start with a prefix that has at least one character. */
  async deletePrefixed(prefix: string, signal: AbortSignal | undefined): Promise<void> {
    const characters = [...prefix]
    const folder = join(this.#base, ...folderNames(characters))
    const entries = await this.#gate
      .run(() => readdir(folder, { recursive: true, withFileTypes: true }), signal)
      .catch((error: unknown) => {
        if (isMissingFile(error)) return []
        throw toDiskError(prefix, error)
      })
    for (const entry of entries) {
      const path = join(entry.parentPath, entry.name)
      const key = path
        .slice(folder.length + 1)
        .split(sep)
        .join('/')
      if (entry.isFile() && key.startsWith(prefix))
        await this.#run(prefix, () => rm(path, { force: true }), signal)
    }
  }

  /** Returns true when there is an object under the key. */
  async exists(key: string, signal: AbortSignal | undefined): Promise<boolean> {
    const path = this.#pathOf(key)
    try {
      return (await this.#gate.run(() => stat(path), signal)).isFile()
    } catch (error) {
      if (isMissingFile(error)) return false
      throw toDiskError(key, error)
    }
  }

  /** Path of an object. Throws InvalidInputError on a key that would leave the folder. */
  #pathOf(key: string): string {
    checkKey(key)
    const path = join(this.#base, ...folderNames([...key]), key)
    if (!path.startsWith(this.#base + sep))
      throw new InvalidInputError(
        `The key ${JSON.stringify(key)} leaves the folder of the service.`,
      )
    return path
  }

  /** Runs a call on the disk and turns its errors into those of the library. */
  async #run<T>(key: string, operation: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      return await this.#gate.run(operation, signal)
    } catch (error) {
      throw toDiskError(key, error)
    }
  }

  /** Runs a call on an object's file. Throws FileNotFoundError if there is none. */
  async #runOnFile<T>(
    key: string,
    operation: () => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    try {
      return await this.#gate.run(operation, signal)
    } catch (error) {
      if (isMissingFile(error))
        throw new FileNotFoundError(`There is no object ${key} in ${this.#base}.`, { cause: error })
      throw toDiskError(key, error)
    }
  }

  /**
   * Opens the file with the first byte, because it may be deleted between `stat` and the first
   * read.
   */
  async *#readRange(
    key: string,
    [start, end]: readonly [start: number, end: number],
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array> {
    const file = await this.#runOnFile(key, () => open(this.#pathOf(key)), signal)
    try {
      for (let at = start; at <= end;) {
        const piece = Buffer.allocUnsafe(Math.min(READ_BYTES, end + 1 - at))
        const position = at
        const { bytesRead } = await this.#runOnFile(
          key,
          () => file.read(piece, 0, piece.length, position),
          signal,
        )
        if (bytesRead === 0) return
        at += bytesRead
        yield piece.subarray(0, bytesRead)
      }
    } finally {
      await this.#gate.cleanUp(() => file.close())
    }
  }

  async #removeOldPartials(): Promise<void> {
    const folder = this.#partials
    for (const name of await this.#gate.run(() => readdir(folder)).catch(() => [])) {
      const path = join(folder, name)
      const found = await this.#gate.run(() => stat(path)).catch(() => null)
      if (found !== null && Date.now() - found.mtimeMs > PARTIAL_MAX_AGE_MS)
        await this.#gate.run(() => rm(path, { force: true })).catch(() => undefined)
    }
  }
}

/** Returns the names of the two folders that hold a key, by its first four characters. */
function folderNames(characters: readonly string[]): [string, string] {
  return [characters.slice(0, 2).join(''), characters.slice(2, 4).join('')]
}

/** Flushes a folder, without which a rename may be lost with the power. */
async function flushFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  await folder.sync().finally(() => folder.close())
}
