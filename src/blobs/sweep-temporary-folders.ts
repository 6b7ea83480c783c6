import { createHash, randomUUID } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { lstat, readdir, readFile, rm } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'

/** The name says which process made the folder: its scope, its id and its start. */
const FOLDER_NAME = /^activestorage-delayed-([0-9a-f]{8})-(\d+)-(\d+)-\w{6}$/

/** Folders of other scopes are removed when they were not touched for this time. */
const UNUSED_AFTER_MS = 86_400_000

let ownStart: Promise<string | null> | undefined
let cachedScope: string | undefined

/** Returns the name of this process' folders, without the random end. */
export async function createFolderPrefix(): Promise<string> {
  ownStart ??= readProcessStart(process.pid)
  return `activestorage-delayed-${processScope()}-${process.pid}-${(await ownStart) ?? '0'}-`
}

/**
 * Removes the temporary folders of dead processes. A folder of a process that cannot be seen from
 * here (another container or machine that shares the disk) is removed when nothing touched it for a
 * day. Never rejects. `now` is for tests.
 */
export async function sweepTemporaryFolders(now: number = Date.now()): Promise<void> {
  for (const name of await readdir(tmpdir()).catch(() => [])) {
    const [, scope, pid, start] = FOLDER_NAME.exec(name) ?? []
    if (scope === undefined) continue
    const path = join(tmpdir(), name)
    const found = await lstat(path).catch(() => null)
    // Every user may write to the system's temporary folder, so the name alone proves nothing.
    if (
      found === null ||
      !found.isDirectory() ||
      (process.getuid !== undefined && found.uid !== process.getuid())
    )
      continue
    const isUsed =
      scope === processScope()
        ? (await readProcessStart(Number(pid))) === start
        : now - found.mtimeMs < UNUSED_AFTER_MS
    if (!isUsed) await rm(path, { recursive: true, force: true }).catch(() => undefined)
  }
}

/**
 * Names the set of processes that can see each other: on Linux, one start of the machine and one
 * namespace of process ids.
 */
function processScope(): string {
  cachedScope ??= createHash('sha256').update(describeScope()).digest('hex').slice(0, 8)
  return cachedScope
}

function describeScope(): string {
  if (process.platform !== 'linux') return hostname()
  try {
    return `${hostname()} ${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    // A scope of its own: its folders are removed by their age.
    return randomUUID()
  }
}

/**
 * Returns when a living process started, because a later process may get the same id. null: it is
 * dead.
 */
async function readProcessStart(pid: number): Promise<string | null> {
  if (process.platform === 'linux') {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
    // The program's name stands in brackets and may hold spaces. State is field 3, start is field
    // 22.
    const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields === undefined || /^[ZX]/.test(fields[0] ?? '') ? null : (fields[19] ?? null)
  }
  try {
    process.kill(pid, 0)
    return '0'
  } catch (error) {
    const isForeign = error instanceof Error && 'code' in error && error.code === 'EPERM'
    return isForeign ? '0' : null
  }
}
