import { types } from 'node:util'
import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve, sep } from 'node:path'
import { createDiskGate, type DiskGate } from './disk-gate.ts'
import { checkKey } from './object-key.ts'
import { checkRange } from './range.ts'
import {
  ConfigurationError,
  FileNotFoundError,
  InvalidInputError,
  ServiceError,
  ServiceUnavailableError,
} from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'
import { checkOptions } from '../options/check-options.ts'
import type { Service, UploadOptions } from './service.ts'
import { isUnreachableError } from './outages.ts'
import { verifyBytes } from './verify-bytes.ts'

/**
 * Files in a folder, laid out as Rails' Disk service does: `ab/cd/abcd…`. An object is written to a temporary file beside
 * them, verified, flushed to the disk and renamed, so that no reader ever sees half of it. It has no URLs of its own:
 * the app serves its files. `public`: their URLs do not expire. Throws ConfigurationError without a `root`.
 */
export function disk(options: { readonly root: string; readonly public?: boolean }): Service {
  checkOptions(options, ['root', 'public'], 'disk')
  const { root } = options
  if (typeof root !== 'string' || root === '')
    throw new ConfigurationError(
      "disk: root is missing: give the folder of the files, such as disk({ root: 'storage' }).",
    )
  const base = resolve(root)
  const temporary = join(base, '.tmp')
  const pathOf = (key: string): string => {
    checkKey(key)
    const characters = [...key]
    const path = join(base, characters.slice(0, 2).join(''), characters.slice(2, 4).join(''), key)
    if (!path.startsWith(base + sep))
      throw new InvalidInputError(
        `The key ${JSON.stringify(key)} leaves the folder of the service.`,
      )
    return path
  }
  const gate = createDiskGate(base)
  let swept: Promise<void> | undefined
  const write = async (
    key: string,
    body: AsyncIterable<Uint8Array>,
    { signal, progress }: Pick<UploadOptions, 'signal' | 'progress'> = {},
  ): Promise<void> => {
    const target = pathOf(key)
    await gate.run(() => mkdir(temporary, { recursive: true }), signal).catch(throwDiskError(key))
    swept ??= removeOldPartials(temporary, gate)
    await swept
    const partial = join(temporary, randomUUID())
    const file = await gate.run(() => open(partial, 'wx'), signal).catch(throwDiskError(key))
    try {
      try {
        for await (const chunk of body)
          for (let at = 0; at < chunk.length;)
            at += (await gate.run(() => file.write(chunk, at), signal)).bytesWritten
        const flushed = gate.run(() => file.sync(), signal)
        await (progress?.finishing(flushed) ?? flushed)
      } finally {
        await gate.cleanUp(() => file.close())
      }
      await gate.run(() => mkdir(dirname(target), { recursive: true }), signal)
      // Nobody may want it any more: the disk may have hung for hours.
      await gate.run(() => rename(partial, target), signal)
    } catch (error) {
      // What cannot be removed is swept after a day.
      await gate.cleanUp(() => rm(partial, { force: true })).catch(() => undefined)
      throw toDiskError(key, error)
    }
    await gate.run(() => flushFolder(dirname(target)), signal).catch(throwDiskError(key))
  }
  const missing = (key: string) => (error: unknown) => {
    if (isSystemError(error) && error.code === 'ENOENT')
      throw new FileNotFoundError(`There is no object ${key} in ${base}.`, { cause: error })
    return throwDiskError(key)(error)
  }
  const service: Service = {
    public: options.public === true,
    upload: (key, body, options) => write(key, verifyBytes(key, body, options), options),
    async download(key, { range, signal } = {}) {
      checkRange(key, range)
      const path = pathOf(key)
      const { size } = await gate.run(() => stat(path), signal).catch(missing(key))
      const [start, end] = range ?? [0, size - 1]
      return readFileRange(
        path,
        { start, end: Math.min(end, size - 1), signal, gate },
        missing(key),
      )
    },
    async delete(key, { signal } = {}) {
      const path = pathOf(key)
      await gate.run(() => rm(path, { force: true }), signal).catch(throwDiskError(key))
    },
    async deletePrefixed(prefix, { signal } = {}) {
      if (prefix === '') throw new InvalidInputError('An empty prefix would delete every object.')
      checkKey(prefix.replace(/\/$/, ''))
      const folder = join(base, [...prefix].slice(0, 2).join(''), [...prefix].slice(2, 4).join(''))
      const listed = gate.run(
        () => readdir(folder, { recursive: true, withFileTypes: true }),
        signal,
      )
      const entries = await listed.catch((error: unknown) => {
        if (isSystemError(error) && error.code === 'ENOENT') return []
        return throwDiskError(prefix)(error)
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
          await gate.run(() => rm(path, { force: true }), signal).catch(throwDiskError(prefix))
      }
    },
    async exists(key, { signal } = {}) {
      const path = pathOf(key)
      return gate
        .run(() => stat(path), signal)
        .then(
          (found) => found.isFile(),
          (error: unknown) =>
            isSystemError(error) && error.code === 'ENOENT' ? false : throwDiskError(key)(error),
        )
    },
    async compose(sources, key, { signal } = {}) {
      const abort = signal === undefined ? {} : { signal }
      const parts = async function* (): AsyncGenerator<Uint8Array> {
        for (const source of sources) yield* await service.download(source, abort)
      }
      await write(key, parts(), abort)
    },
    async copy(source, key, { signal } = {}) {
      const abort = signal === undefined ? {} : { signal }
      await write(key, await service.download(source, abort), abort)
    },
    url: () => Promise.resolve(null),
    urlForDirectUpload: () => Promise.resolve(null),
  }
  return service
}

/** Bytes read at once: a quarter of what Node's streams need for the same bytes, and a small file takes one turn. */
const READ_BYTES = 256 * 1024

/** Opens with the first byte: a file may go between the look at it and then. */
async function* readFileRange(
  path: string,
  {
    start,
    end,
    signal,
    gate,
  }: {
    readonly start: number
    readonly end: number
    readonly signal: AbortSignal | undefined
    readonly gate: DiskGate
  },
  tell: (error: unknown) => never,
): AsyncGenerator<Uint8Array> {
  const file = await gate.run(() => open(path), signal).catch(tell)
  try {
    for (let at = start; at <= end;) {
      const piece = Buffer.allocUnsafe(Math.min(READ_BYTES, end + 1 - at))
      const position = at
      const { bytesRead } = await gate
        .run(() => file.read(piece, 0, piece.length, position), signal)
        .catch(tell)
      if (bytesRead === 0) return
      at += bytesRead
      yield piece.subarray(0, bytesRead)
    }
  } finally {
    await gate.cleanUp(() => file.close())
  }
}

const PARTIAL_MAX_AGE_MS = 86_400_000

/** What processes that were killed left half-written; nothing that lives writes for a day without a pause. */
async function removeOldPartials(folder: string, gate: DiskGate): Promise<void> {
  for (const name of await gate.run(() => readdir(folder)).catch(() => [])) {
    const path = join(folder, name)
    const found = await gate.run(() => stat(path)).catch(() => null)
    if (found !== null && Date.now() - found.mtimeMs > PARTIAL_MAX_AGE_MS)
      await gate.run(() => rm(path, { force: true })).catch(() => undefined)
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

/** Of a disk that is away as a whole, or a process that has no descriptor left: no file's fault. */
const outageCodes: ReadonlySet<string> = new Set([
  'EMFILE',
  'ENFILE',
  'ENODEV',
  'ENOLINK',
  'ENXIO',
  'EROFS',
  'ESTALE',
])

function toDiskError(key: string, error: unknown): unknown {
  if (!isSystemError(error)) return error
  const { code = '' } = error
  const advice =
    code === 'ENOSPC'
      ? 'The disk is full.'
      : code === 'EACCES' || code === 'EPERM'
        ? 'The process may not write there: look at the owner of the folder.'
        : ''
  const text = `The disk service failed for ${key}: ${messageOf(error)} ${advice}`.trim()
  const isAway = outageCodes.has(code) || isUnreachableError(error)
  return isAway
    ? new ServiceUnavailableError(text, { cause: error })
    : new ServiceError(text, { cause: error })
}

function throwDiskError(key: string): (error: unknown) => never {
  return (error) => {
    throw toDiskError(key, error)
  }
}
