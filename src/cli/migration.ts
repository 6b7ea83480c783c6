import type { DialectSchema } from '../database/migrate.ts'

/** All tools, in the order of the help text: first those whose migrations are SQL. */
export const migrationTools = [
  'sql',
  'prisma',
  'drizzle',
  'knex',
  'kysely',
  'lucid',
  'mikro-orm',
  'sequelize',
  'typeorm',
] as const
/** The name of a tool. */
export type MigrationTool = (typeof migrationTools)[number]

interface MigrationStatements {
  /** Literals of the migration's language. */
  readonly up: readonly string[]
  readonly down: readonly string[]
}

type MigrationWriter = (statements: MigrationStatements, now: Date) => string

const formatLines = (
  statements: readonly string[],
  write: (literal: string) => string,
  indent: string = '  ',
): string => statements.map((literal) => `${indent}${write(literal)}`).join('\n')

/** Writers of migrations, each in the form of the tool's own generator. */
const migrationWriters: Readonly<Partial<Record<MigrationTool, MigrationWriter>>> = {
  knex: ({ up, down }) => `import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
${formatLines(up, (sql) => `await knex.raw(${sql})`)}
}

export async function down(knex: Knex): Promise<void> {
${formatLines(down, (sql) => `await knex.raw(${sql})`)}
}
`,
  kysely: ({ up, down }) => `import { sql, type Kysely } from 'kysely'

export async function up(db: Kysely<any>): Promise<void> {
${formatLines(up, (sql) => `await sql.raw(${sql}).execute(db)`)}
}

export async function down(db: Kysely<any>): Promise<void> {
${formatLines(down, (sql) => `await sql.raw(${sql}).execute(db)`)}
}
`,
  lucid: ({ up, down }) => `import { BaseSchema } from '@adonisjs/lucid/schema'

export default class extends BaseSchema {
  async up() {
${formatLines(up, (sql) => `this.schema.raw(${sql})`, '    ')}
  }

  async down() {
${formatLines(down, (sql) => `this.schema.raw(${sql})`, '    ')}
  }
}
`,
  'mikro-orm': ({ up, down }, now) => `import { Migration } from '@mikro-orm/migrations'

export class Migration${now.toISOString().replaceAll(/\D/g, '').slice(0, 14)} extends Migration {
  override async up(): Promise<void> {
${formatLines(up, (sql) => `this.addSql(${sql})`, '    ')}
  }

  override async down(): Promise<void> {
${formatLines(down, (sql) => `this.addSql(${sql})`, '    ')}
  }
}
`,
  sequelize: ({ up, down }) => `'use strict'

/** @type {import('sequelize-cli').Migration} */
module.exports = {
  async up({ sequelize }) {
${formatLines(up, (sql) => `await sequelize.query(${sql})`, '    ')}
  },

  async down({ sequelize }) {
${formatLines(down, (sql) => `await sequelize.query(${sql})`, '    ')}
  },
}
`,
  typeorm: ({ up, down }, now) => `import type { MigrationInterface, QueryRunner } from 'typeorm'

export class ActiveStorage${now.getTime()} implements MigrationInterface {
  name = 'ActiveStorage${now.getTime()}'

  async up(queryRunner: QueryRunner): Promise<void> {
${formatLines(up, (sql) => `await queryRunner.query(${sql})`, '    ')}
  }

  async down(queryRunner: QueryRunner): Promise<void> {
${formatLines(down, (sql) => `await queryRunner.query(${sql})`, '    ')}
  }
}
`,
}

/** Tools whose migrations are SQL, with the separator of their statements. */
const statementSeparators: Readonly<Partial<Record<MigrationTool, string>>> = {
  sql: '\n\n',
  prisma: '\n\n',
  drizzle: '\n--> statement-breakpoint\n',
}

/** Formats the tables as a migration of the app's own tool. */
export function formatMigration(
  tool: MigrationTool,
  schema: DialectSchema,
  now: Date = new Date(),
): string {
  const up = schema.steps.map(({ sql }) => sql)
  const write = migrationWriters[tool]
  if (write === undefined) return up.map((sql) => `${sql};`).join(statementSeparators[tool])
  const down = up
    .flatMap((sql) => /^create table if not exists (\S+)/.exec(sql)?.[1] ?? [])
    .map((table) => `drop table ${table}`)
  return write({ up: up.map(toLiteral), down: down.toReversed().map(toLiteral) }, now).trimEnd()
}

/** Quotes a statement with the quotes that it does not contain. No statement has backslashes. */
function toLiteral(sql: string): string {
  return sql.includes('`') ? JSON.stringify(sql) : `\`${sql}\``
}
