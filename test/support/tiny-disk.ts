// A disk of a few megabytes, where the system allows mounting one.
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface TinyDisk {
  readonly folder: string
  /** Takes that many bytes, until they are given back. */
  fill(bytes: number): Promise<void>
  free(): Promise<void>
  close(): Promise<void>
}

/** null: mounting is not allowed, or unknown, here. */
export async function tinyDisk(megabytes: number): Promise<TinyDisk | null> {
  const folder = await mkdtemp(join(tmpdir(), 'asd-tiny-'))
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder])
  } catch {
    await rm(folder, { recursive: true, force: true })
    return null
  }
  const ballast = join(folder, 'ballast')
  return {
    folder,
    fill: (bytes) => writeFile(ballast, Buffer.alloc(bytes)),
    free: () => rm(ballast),
    async close() {
      // Lazily: libvips lets go of a file that it failed on with its next one.
      await run('umount', ['-l', folder])
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Creates the system's error for a write to a full disk. */
export function noSpace(): Error {
  return Object.assign(new Error('ENOSPC: no space left on device, write'), {
    code: 'ENOSPC',
    errno: -28,
    syscall: 'write',
  })
}
