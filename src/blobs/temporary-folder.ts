import { createHash, randomUUID } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { lstat, mkdtemp, readdir, readFile, rm, statfs, utimes } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { types } from 'node:util'
import { ActiveStorageError, ServiceError, type ErrorDetails } from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'

export interface TemporaryFolder {
  readonly path: string
  remove(): Promise<void>
}

const TOUCH_INTERVAL_MS = 3_600_000
const UNUSED_AFTER_MS = 24 * TOUCH_INTERVAL_MS
/** The folder's name says which process made it. */
const FOLDER_NAME = /^activestorage-delayed-([0-9a-f]{8})-(\d+)-(\d+)-\w{6}$/

/**
 * Makes a folder in the system's temporary folder. The first call of a process also removes what killed processes left
 * there. Rejects with the system's own error: see `temporaryFailure`.
 */
export async function createTemporaryFolder(): Promise<TemporaryFolder> {
  firstSweep ??= sweepTemporaryFolders()
  await firstSweep
  ownStart ??= readProcessStart(process.pid)
  const started = (await ownStart) ?? '0'
  const path = await mkdtemp(
    join(tmpdir(), `activestorage-delayed-${processScope()}-${process.pid}-${started}-`),
  )
  const touch = (): void => void utimes(path, new Date(), new Date()).catch(() => undefined)
  const touching = setInterval(touch, TOUCH_INTERVAL_MS).unref()
  return {
    path,
    async remove() {
      clearInterval(touching)
      await rm(path, { recursive: true, force: true })
    },
  }
}

let firstSweep: Promise<void> | undefined
let ownStart: Promise<string | null> | undefined

/**
 * Removes the folders of processes that are dead. A folder that a process made where this one cannot look (another
 * container or machine that shares the disk) goes when nobody touched it for a day. Never rejects.
 */
export async function sweepTemporaryFolders(): Promise<void> {
  for (const name of await readdir(tmpdir()).catch(() => [])) {
    const [, where, pid, started] = FOLDER_NAME.exec(name) ?? []
    if (where === undefined) continue
    const path = join(tmpdir(), name)
    const found = await lstat(path).catch(() => null)
    // In a folder that all users write to, a name proves nothing.
    if (
      found === null ||
      !found.isDirectory() ||
      (process.getuid !== undefined && found.uid !== process.getuid())
    )
      continue
    const used =
      where === processScope()
        ? (await readProcessStart(Number(pid))) === started
        : Date.now() - found.mtimeMs < UNUSED_AFTER_MS
    if (!used) await rm(path, { recursive: true, force: true }).catch(() => undefined)
  }
}

let cachedScope: string | undefined

/** Names the set of processes that can see each other: on Linux, one start of the machine and one namespace of process ids. */
function processScope(): string {
  cachedScope ??= createHash('sha256').update(describeScope()).digest('hex').slice(0, 8)
  return cachedScope
}

function describeScope(): string {
  if (process.platform !== 'linux') return hostname()
  try {
    return `${hostname()} ${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    // Nobody's: such folders go by their age.
    return randomUUID()
  }
}

/** When a living process started, so that a new one with the same id is not taken for it. null: it is dead. */
async function readProcessStart(pid: number): Promise<string | null> {
  if (process.platform === 'linux') {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
    // The program's name, in brackets, may have spaces. State is field 3, and the start is field 22.
    const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields === undefined || /^[ZX]/.test(fields[0] ?? '') ? null : (fields[19] ?? null)
  }
  try {
    process.kill(pid, 0)
    return '0'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? '0' : null
  }
}

/** Whether less than 1 MB is left on the disk of a folder. */
export async function isDiskFull(folder: string): Promise<boolean> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize < 1_000_000
}

/** Codes that no socket has: the bytes may come over one. */
const DISK_ERROR_CODE = /^E(ACCES|DQUOT|FBIG|IO|MFILE|NFILE|NOENT|NOSPC|NOTDIR|PERM|ROFS)$/

/** Rethrows what the temporary folder's disk refused, with what to do. That disk is nobody's input: the call may be tried again. */
export function throwTemporaryFolderError(
  filename: string,
  details: ErrorDetails,
): (error: unknown) => never {
  return (error) => {
    const code = types.isNativeError(error) && 'code' in error ? String(error.code) : ''
    if (error instanceof ActiveStorageError || !DISK_ERROR_CODE.test(code)) throw error
    if (code === 'ENOSPC' || code === 'EDQUOT') throw toDiskFullError(filename, details, error)
    throw new ServiceError(
      `${filename} could not be written to the temporary folder ${tmpdir()}: ${messageOf(error)}. Set TMPDIR to a folder where the process may write.`,
      { cause: error, details: { ...details, filename } },
    )
  }
}

export function toDiskFullError(
  filename: string,
  details: ErrorDetails,
  cause: unknown,
): ServiceError {
  return new ServiceError(
    `${filename} could not be written to the temporary folder ${tmpdir()}: ${messageOf(cause)}. Its disk is full: free some of it, or set TMPDIR to a folder with more room.`,
    { cause, details: { ...details, filename } },
  )
}
