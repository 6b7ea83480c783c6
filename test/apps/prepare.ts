// Prepares an app before it starts: builds it, and makes its tables.
import { globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openUrl } from '../support/servers.ts'
import type { InstalledApp } from './install.ts'

/**
 * Prisma looks for its engine of migrations where it only generates a client, and downloads it: not
 * every machine can.
 */
export const withoutEngine = { PRISMA_SCHEMA_ENGINE_BINARY: process.execPath }

/** `env` is the app's own; `databaseUrl` is where its tables are to be. */
export async function prepare(
  app: InstalledApp,
  env: Readonly<Record<string, string>>,
  databaseUrl: string,
): Promise<void> {
  await app.run('build', { ...env, ...withoutEngine })
  await app.run('migrate', env).catch(async (error: Error) => {
    if (!error.message.includes('binaries.prisma.sh')) throw error
    await applyMigrations(app.folder, databaseUrl)
  })
}

/** Applies migrations as `prisma migrate deploy` does. */
async function applyMigrations(folder: string, databaseUrl: string): Promise<void> {
  const provider = databaseUrl.startsWith('postgres') ? 'postgresql' : 'sqlite'
  const database = openUrl(databaseUrl)
  try {
    for (const file of globSync(
      join(folder, 'prisma', provider, 'migrations/*/migration.sql'),
    ).toSorted())
      await database.executor.run(await readFile(file, 'utf8'), [])
  } finally {
    await database.close()
  }
}
