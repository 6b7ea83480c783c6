import assert from 'node:assert/strict'
import type { Database, Dialect } from '../../database/database.ts'
import type { Executor } from '../../database/executor.ts'
import { createPortableExecutor } from '../../database/placeholders.ts'

interface EngineStatements {
  readonly create: string
  readonly insert: string
  readonly select: string
}

const common = {
  /** Parameters: unordered, repeated, and beside text and comments that only look like them. */
  insert: (words: string, data: string): string =>
    `insert into engine_rows (words, id, due, flag, data, tags, bytes) values (${words}, $1, $2, $3, ${data}, $5, $6) /* it's $1? */ -- it's $2?\n`,
  select: (columns: string): string =>
    `select ${columns} /* it's $1? */ from engine_rows where words <> $2 and id = $1 and id = $1 -- it's $2?\n`,
}

/** Statements with whatever a dialect has that looks like a parameter and is none. */
const statements: Readonly<Record<Exclude<Dialect, 'mariadb'>, EngineStatements>> = {
  postgres: {
    create:
      'create table engine_rows (id bigint primary key, words text, due timestamptz, flag boolean, data jsonb, tags text[], bytes bytea)',
    insert: common.insert("$7::text || ' it''s $1?'", '$4::jsonb'),
    select: common.select(
      `id::text as id, words, (extract(epoch from due) * 1000)::bigint::text as due, flag::int as flag, data ->> 'a' as a, (data ? 'a')::int as has, tags[1] as tag, encode(bytes, 'hex') as bytes, $$it's $1?$$ || $x$ $$ $2? $x$ as dollars, E'it\\'s $1?' as backslash, 1 as "a $1?" /* a /* nested $1? */ ? */`,
    ),
  },
  mysql: {
    create:
      'create table engine_rows (id bigint primary key, words text, due datetime(3), flag boolean, data json, tags json, bytes varbinary(9))',
    insert: common.insert("concat($7, ' it''s $1?')", '$4'),
    select: common.select(
      "cast(id as char) as id, words, cast(timestampdiff(microsecond, '1970-01-01', due) div 1000 as char) as due, flag + 0 as flag, json_unquote(json_extract(data, '$.a')) as a, 1 as has, json_unquote(json_extract(tags, '$[0]')) as tag, lower(hex(bytes)) as bytes, \"it's $1? $$ $2? \" as dollars, 'it\\'s $1?' as backslash, 1 as `a $1?` # it's $2?\n",
    ),
  },
  sqlite: {
    create:
      'create table engine_rows (id integer primary key, words text, due text, flag integer, data text, tags text, bytes blob)',
    insert: common.insert("$7 || ' it''s $1?'", '$4'),
    select: common.select(
      `cast(id as text) as id, words, cast(round((julianday(due) - 2440587.5) * 86400000) as integer) as due, flag, json_extract(data, '$.a') as a, 1 as has, json_extract(tags, '$[0]') as tag, lower(hex(bytes)) as bytes, 'it''s $1? $$ $2? ' as dollars, 'it''s $1?' as backslash, 1 as [a $1?]`,
    ),
  },
}

const ID = 9_007_199_254_740_993n

/**
 * Checks what a queue engine relies on: its statements have `$1` placeholders, and its values
 * arrive, whatever the binding. `inTransaction` gives the executor on an open transaction, and
 * rolls back with what `run` throws.
 */
export async function checkEngineStatements<Tx>(
  database: Database<Tx, boolean>,
  inTransaction: (run: (executor: Executor) => Promise<void>) => Promise<void>,
): Promise<void> {
  const dialect = await database.open()
  const { create, insert, select } = statements[dialect === 'mariadb' ? 'mysql' : dialect]
  const toPortable = (executor: Executor) =>
    createPortableExecutor(executor, dialect, database.placeholders)
  const own = toPortable(database.executor)
  const due = new Date('2024-02-29T21:59:58.070Z')
  const values = (id: bigint): unknown[] => [
    id,
    due,
    true,
    { a: 'who? $1' },
    ['"tag" \\ {$1}', 'b'],
    new Uint8Array([0, 255]),
    "it's",
  ]
  await own.run(create)
  const undone = new Error('of the test')
  await assert.rejects(
    inTransaction(async (executor) => {
      await toPortable(executor).run(insert, values(1n))
      throw undone
    }),
    undone,
  )
  await inTransaction(async (executor) => {
    const { affected } = await toPortable(executor).run(insert, values(ID))
    assert.equal(affected, 1)
  })
  const { rows } = await own.run(select, [ID, 'none'])
  assert.deepEqual(
    rows.map((row) => ({ ...row, due: Number(row['due']), flag: Number(row['flag']) })),
    [
      {
        id: String(ID),
        words: "it's it's $1?",
        due: due.getTime(),
        flag: 1,
        a: 'who? $1',
        has: 1,
        tag: '"tag" \\ {$1}',
        bytes: '00ff',
        dollars: "it's $1? $$ $2? ",
        backslash: "it's $1?",
        'a $1?': 1,
      },
    ],
  )
  assert.deepEqual((await own.run('select id from engine_rows where id = $1', [1])).rows, [])
}
