import type { DialectSchema } from '../database/migrate.ts'

interface Statements {
  /** As literals of the language. */
  readonly up: readonly string[]
  readonly down: readonly string[]
}

type Write = (statements: Statements, now: Date) => string

const lines = (
  statements: readonly string[],
  write: (literal: string) => string,
  indent: string = '  ',
): string => statements.map((literal) => `${indent}${write(literal)}`).join('\n')

/** A migration as each tool's own generator writes it. */
const writers: Readonly<
  Record<'knex' | 'kysely' | 'lucid' | 'mikro-orm' | 'sequelize' | 'typeorm', Write>
> = {
  knex: ({ up, down }) => `import type { Knex } from 'knex'

export async function up(knex: Knex): Promise<void> {
${lines(up, (sql) => `await knex.raw(${sql})`)}
}

export async function down(knex: Knex): Promise<void> {
${lines(down, (sql) => `await knex.raw(${sql})`)}
}
`,
  kysely: ({ up, down }) => `import { sql, type Kysely } from 'kysely'

export async function up(db: Kysely<any>): Promise<void> {
${lines(up, (sql) => `await sql.raw(${sql}).execute(db)`)}
}

export async function down(db: Kysely<any>): Promise<void> {
${lines(down, (sql) => `await sql.raw(${sql}).execute(db)`)}
}
`,
  lucid: ({ up, down }) => `import { BaseSchema } from '@adonisjs/lucid/schema'

export default class extends BaseSchema {
  async up() {
${lines(up, (sql) => `this.schema.raw(${sql})`, '    ')}
  }

  async down() {
${lines(down, (sql) => `this.schema.raw(${sql})`, '    ')}
  }
}
`,
  'mikro-orm': ({ up, down }, now) => `import { Migration } from '@mikro-orm/migrations'

export class Migration${now.toISOString().replaceAll(/\D/g, '').slice(0, 14)} extends Migration {
  override async up(): Promise<void> {
${lines(up, (sql) => `this.addSql(${sql})`, '    ')}
  }

  override async down(): Promise<void> {
${lines(down, (sql) => `this.addSql(${sql})`, '    ')}
  }
}
`,
  sequelize: ({ up, down }) => `'use strict'

/** @type {import('sequelize-cli').Migration} */
module.exports = {
  async up({ sequelize }) {
${lines(up, (sql) => `await sequelize.query(${sql})`, '    ')}
  },

  async down({ sequelize }) {
${lines(down, (sql) => `await sequelize.query(${sql})`, '    ')}
  },
}
`,
  typeorm: ({ up, down }, now) => `import type { MigrationInterface, QueryRunner } from 'typeorm'

export class ActiveStorage${now.getTime()} implements MigrationInterface {
  name = 'ActiveStorage${now.getTime()}'

  async up(queryRunner: QueryRunner): Promise<void> {
${lines(up, (sql) => `await queryRunner.query(${sql})`, '    ')}
  }

  async down(queryRunner: QueryRunner): Promise<void> {
${lines(down, (sql) => `await queryRunner.query(${sql})`, '    ')}
  }
}
`,
}

/** Tools whose migrations are SQL, and what stands between its statements. */
const separators: Readonly<Record<'drizzle' | 'prisma' | 'sql', string>> = {
  sql: '\n\n',
  prisma: '\n\n',
  drizzle: '\n--> statement-breakpoint\n',
}

export type Tool = keyof typeof writers | keyof typeof separators
export const tools: readonly Tool[] = [
  ...Object.keys(separators),
  ...Object.keys(writers),
] as Tool[]

/** The tables, as a migration of an app's own tool. */
export function migrationFor(tool: Tool, schema: DialectSchema, now: Date = new Date()): string {
  const up = schema.steps.map(({ sql }) => sql)
  if (tool in separators)
    return up.map((sql) => `${sql};`).join(separators[tool as keyof typeof separators])
  const down = up
    .flatMap((sql) => /^create table if not exists (\S+)/.exec(sql)?.[1] ?? [])
    .map((table) => `drop table ${table}`)
  return writers[tool as keyof typeof writers](
    { up: up.map(literal), down: down.toReversed().map(literal) },
    now,
  ).trimEnd()
}

/** In the quotes that SQL has none of; no statement has backslashes. */
function literal(sql: string): string {
  return sql.includes('`') ? JSON.stringify(sql) : `\`${sql}\``
}
