import { types } from 'node:util'
import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve, sep } from 'node:path'
import { checkKey } from './object-key.ts'
import { checkRange } from './range.ts'
import { ActiveStorageError, ConfigurationError, FileNotFoundError, InvalidInputError, ServiceError } from '../errors.ts'
import { messageOf } from '../message.ts'
import { checkOptions } from '../options.ts'
import type { Service } from './service.ts'
import { verified } from './verify.ts'

/**
 * Files in a folder, laid out as Rails' Disk service does: `ab/cd/abcd…`. An object is written to a temporary file beside
 * them, verified, flushed to the disk and renamed, so that no reader ever sees half of it. It has no URLs of its own:
 * the app serves its files. `public`: their URLs do not expire. Throws ConfigurationError without a `root`.
 */
export function disk(options: { readonly root: string; readonly public?: boolean }): Service {
  checkOptions(options, ['root', 'public'], 'disk')
  const { root } = options
  if (typeof root !== 'string' || root === '')
    throw new ConfigurationError("disk: root is missing: give the folder of the files, such as disk({ root: 'storage' }).")
  const base = resolve(root)
  const temporary = join(base, '.tmp')
  const pathOf = (key: string): string => {
    checkKey(key)
    const characters = [...key]
    const path = join(base, characters.slice(0, 2).join(''), characters.slice(2, 4).join(''), key)
    if (!path.startsWith(base + sep)) throw new InvalidInputError(`The key ${JSON.stringify(key)} leaves the folder of the service.`)
    return path
  }
  let swept: Promise<void> | undefined
  const write = async (key: string, body: AsyncIterable<Uint8Array>): Promise<void> => {
    const target = pathOf(key)
    await mkdir(temporary, { recursive: true }).catch(fail(key))
    swept ??= sweepPartials(temporary)
    await swept
    const partial = join(temporary, randomUUID())
    try {
      const file = await open(partial, 'wx').catch(fail(key))
      try {
        for await (const chunk of body) for (let at = 0; at < chunk.length;) at += (await file.write(chunk, at)).bytesWritten
        await file.sync()
      } finally {
        await file.close()
      }
      await mkdir(dirname(target), { recursive: true })
      await rename(partial, target)
      await flushFolder(dirname(target))
    } catch (error) {
      await rm(partial, { force: true })
      if (error instanceof ActiveStorageError || !isSystemError(error)) throw error
      return fail(key)(error)
    }
  }
  const missing = (key: string) => (error: unknown) => {
    if (isSystemError(error) && error.code === 'ENOENT')
      throw new FileNotFoundError(`There is no object ${key} in ${base}.`, { cause: error })
    return fail(key)(error)
  }
  const service: Service = {
    public: options.public === true,
    upload: (key, body, options) => write(key, verified(key, body, options)),
    async download(key, { range, signal } = {}) {
      checkRange(key, range)
      const path = pathOf(key)
      const { size } = await stat(path).catch(missing(key))
      const [start, end] = range ?? [0, size - 1]
      return reading(path, { start, end: Math.min(end, size - 1), signal }, missing(key))
    },
    async delete(key) {
      await rm(pathOf(key), { force: true }).catch(fail(key))
    },
    async deletePrefixed(prefix) {
      if (prefix === '') throw new InvalidInputError('An empty prefix would delete every object.')
      checkKey(prefix.replace(/\/$/, ''))
      const folder = join(base, [...prefix].slice(0, 2).join(''), [...prefix].slice(2, 4).join(''))
      const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
        if (isSystemError(error) && error.code === 'ENOENT') return []
        return fail(prefix)(error)
      })
      for (const entry of entries) {
        const path = join(entry.parentPath, entry.name)
        if (
          entry.isFile() &&
          path
            .slice(folder.length + 1)
            .split(sep)
            .join('/')
            .startsWith(prefix)
        )
          await rm(path, { force: true }).catch(fail(prefix))
      }
    },
    exists: async (key) =>
      stat(pathOf(key)).then(
        (found) => found.isFile(),
        (error: unknown) => (isSystemError(error) && error.code === 'ENOENT' ? false : fail(key)(error)),
      ),
    async compose(sources, key) {
      const parts = async function* (): AsyncGenerator<Uint8Array> {
        for (const source of sources) yield* await service.download(source)
      }
      await write(key, parts())
    },
    async copy(source, key) {
      await write(key, await service.download(source))
    },
    url: () => Promise.resolve(null),
    urlForDirectUpload: () => Promise.resolve(null),
  }
  return service
}

/** Bytes read at once: a quarter of what Node's streams need for the same bytes, and a small file takes one turn. */
const PIECE = 256 * 1024

/** Opens with the first byte: a file may go between the look at it and then. */
async function* reading(
  path: string,
  { start, end, signal }: { readonly start: number; readonly end: number; readonly signal: AbortSignal | undefined },
  tell: (error: unknown) => never,
): AsyncGenerator<Uint8Array> {
  const file = await open(path).catch(tell)
  try {
    for (let at = start; at <= end;) {
      signal?.throwIfAborted()
      const piece = Buffer.allocUnsafe(Math.min(PIECE, end + 1 - at))
      const { bytesRead } = await file.read(piece, 0, piece.length, at).catch(tell)
      if (bytesRead === 0) return
      at += bytesRead
      yield piece.subarray(0, bytesRead)
    }
  } finally {
    await file.close()
  }
}

const DAY = 86_400_000

/** What processes that were killed left half-written; nothing that lives writes for a day without a pause. */
async function sweepPartials(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name)
    const found = await stat(path).catch(() => null)
    if (found !== null && Date.now() - found.mtimeMs > DAY) await rm(path, { force: true }).catch(() => undefined)
  }
}

/** A rename is only as durable as its folder. */
async function flushFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  await folder.sync().finally(() => folder.close())
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return types.isNativeError(error) && 'syscall' in error
}

function fail(key: string): (error: unknown) => never {
  return (error) => {
    const code = isSystemError(error) ? error.code : undefined
    const advice =
      code === 'ENOSPC'
        ? 'The disk is full.'
        : code === 'EACCES' || code === 'EPERM'
          ? 'The process may not write there: look at the owner of the folder.'
          : ''
    throw new ServiceError(`The disk service failed for ${key}: ${messageOf(error)} ${advice}`.trim(), { cause: error })
  }
}
