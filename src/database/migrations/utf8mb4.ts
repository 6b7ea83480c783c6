import { ConfigurationError } from '../../errors/errors.ts'
import type { Executor } from '../executor.ts'
import type { TableNames } from '../schema.ts'

/** Character sets of MySQL and MariaDB that hold every character. */
export const FULL_UNICODE_CHARSETS: readonly string[] = [
  'utf8mb4',
  'utf16',
  'utf16le',
  'utf32',
  'gb18030',
]

/**
 * Returns the statements for MySQL and MariaDB that change the text columns of Rails' tables and of
 * the gem's to utf8mb4, which holds every character. They rebuild the tables, so run them when the
 * app is idle. Returns no statements if nothing is left to change.
 */
export async function createUtf8mb4Statements(
  executor: Executor,
  tables: TableNames,
): Promise<string[]> {
  const list = (names: readonly string[]): string => names.map((name) => `'${name}'`).join(', ')
  const shared = list([tables.blobs, tables.attachments, tables.variant_records, tables.uploads])
  const { rows } = await executor.run(
    `select c.table_name as tab, c.column_name as col, c.collation_name as collation, t.row_format as format from information_schema.columns c join information_schema.tables t on t.table_schema = c.table_schema and t.table_name = c.table_name where c.table_schema = database() and c.table_name in (${shared}) and c.character_set_name not in (${list(FULL_UNICODE_CHARSETS)}) order by c.table_name, c.ordinal_position`,
    [],
  )
  const statements: string[] = []
  for (const [table, columns] of Map.groupBy(rows, (row) => String(row['tab']))) {
    const made = String(
      (await executor.run(`show create table \`${table}\``, [])).rows[0]?.['Create Table'],
    )
    const changes = columns.map(
      (row) => `modify ${widenDefinition(made, String(row['col']), String(row['collation']))}`,
    )
    // Indexes of the older formats are too short for utf8mb4.
    if (/^(compact|redundant)$/i.test(String(columns[0]?.['format'])))
      changes.push('row_format=dynamic')
    statements.push(
      `alter table \`${table}\`\n  ${[...changes, 'default character set utf8mb4'].join(',\n  ')}`,
    )
  }
  return statements
}

/**
 * Returns a column's definition with utf8mb4 as its character set. It repeats the rest of the
 * definition, because a MODIFY drops what it leaves out.
 */
function widenDefinition(definition: string, column: string, collation: string): string {
  const line =
    definition.split('\n').find((each) => each.trimStart().startsWith(`\`${column}\` `)) ?? ''
  const parts = /^\s*(`\w+` \w+(?:\(\d+\))?)(?: CHARACTER SET \w+)?(?: COLLATE \w+)?(.*?),?$/.exec(
    line,
  )
  if (parts === null)
    throw new ConfigurationError(
      `The definition of the column ${column} cannot be read (${line.trim().slice(0, 80)}). Widen its table by hand.`,
    )
  const [, start = '', rest = ''] = parts
  return `${start} character set utf8mb4 collate ${toUtf8mb4Collation(collation)}${rest}`
}

/** Returns the collation of utf8mb4 that compares in the same way, or a general one. */
function toUtf8mb4Collation(collation: string): string {
  if (/^utf8(mb3)?_(?!general_mysql500_ci)/.test(collation))
    return collation.replace(/^utf8(mb3)?_/, 'utf8mb4_')
  return /_(bin|cs)$/.test(collation) ? 'utf8mb4_bin' : 'utf8mb4_general_ci'
}
