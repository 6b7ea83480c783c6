import {
  IdentifierNode,
  MysqlQueryCompiler,
  PostgresQueryCompiler,
  SqliteQueryCompiler,
  type DefaultQueryCompiler,
  type QueryCompiler,
  type TableNode,
} from 'kysely'
import type { Dialect } from './database.ts'
import { formatPlaceholder, type PlaceholderStyle } from './placeholders.ts'
import type { TableNames } from './schema.ts'

// oxlint-disable-next-line typescript/no-explicit-any -- the constructor of a mixin's base (TS2545)
type CompilerClass = new (...given: any[]) => DefaultQueryCompiler

const compilers = {
  postgres: PostgresQueryCompiler,
  mysql: MysqlQueryCompiler,
  mariadb: MysqlQueryCompiler,
  sqlite: SqliteQueryCompiler,
} satisfies Record<Dialect, CompilerClass>

/**
 * Creates Kysely's compiler for a dialect, with two changes: `from('files')` names the table that
 * the app configured, and parameters are written in the binding's style. `style` undefined: the
 * dialect's own style.
 */
export function createQueryCompiler(
  dialect: Dialect,
  tables: TableNames,
  style: PlaceholderStyle | undefined,
): new () => QueryCompiler {
  const names: Readonly<Record<string, string>> = tables
  const Base: CompilerClass = compilers[dialect]
  return class extends Base {
    protected override visitTable(node: TableNode): void {
      const name = names[node.table.identifier.name]
      if (name === undefined) return super.visitTable(node)
      for (const [index, part] of name.split('.').entries()) {
        if (index > 0) this.append('.')
        this.visitNode(IdentifierNode.create(part))
      }
    }

    protected override getCurrentParameterPlaceholder(): string {
      return style === undefined
        ? super.getCurrentParameterPlaceholder()
        : formatPlaceholder(style, this.numParameters)
    }
  }
}
