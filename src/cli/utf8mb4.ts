import { getInternals } from '../storage/internals.ts'
import { createUtf8mb4Statements } from '../database/migrations/utf8mb4.ts'
import type { CommandStorage } from './config.ts'

/**
 * Reads the statements that widen old text columns so that they hold every character. None on
 * PostgreSQL and SQLite.
 */
export async function readUtf8mb4Statements(storage: CommandStorage): Promise<readonly string[]> {
  const { dialect, session, tables } = await getInternals(storage).openStore()
  return dialect === 'mysql' || dialect === 'mariadb'
    ? createUtf8mb4Statements(session.executor, tables)
    : []
}

/** Formats the statements as SQL to run by hand. */
export function formatUtf8mb4Statements(statements: readonly string[]): string {
  if (statements.length === 0) return '-- Nothing to do: every text column holds every character.'
  return statements.map((sql) => `${sql};`).join('\n\n')
}
