import { internalsOf } from '../internals.ts'
import { utf8mb4Statements } from '../database/migrations/utf8mb4.ts'
import type { AnyStorage } from './config.ts'

/** What a person may run so that old text columns hold every character. None on PostgreSQL and SQLite. */
export async function readUtf8mb4Statements(storage: AnyStorage): Promise<readonly string[]> {
  const { dialect, session, tables } = await internalsOf(storage).store()
  return dialect === 'mysql' || dialect === 'mariadb'
    ? utf8mb4Statements(session.executor, tables)
    : []
}

export function utf8mb4Text(statements: readonly string[]): string {
  if (statements.length === 0) return '-- Nothing to do: every text column holds every character.'
  return statements.map((sql) => `${sql};`).join('\n\n')
}
