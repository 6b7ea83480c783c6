import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Dialect } from './database.ts'
import type { Executor } from './executor.ts'
import {
  bindStatement,
  createPortableExecutor,
  PLACEHOLDER_MARK,
  type PlaceholderStyle,
} from './placeholders.ts'
import { splitStatement } from './statement-parts.ts'

interface Case {
  readonly name: string
  readonly dialects: readonly Dialect[]
  readonly sql: string
  /** The statement with `?` for each parameter. */
  readonly becomes: string
  /** Numbers of the parameters that are sent, in order. */
  readonly sends: readonly number[]
}

const all: readonly Dialect[] = ['postgres', 'mysql', 'mariadb', 'sqlite']
const cases: readonly Case[] = [
  { name: 'none', dialects: all, sql: 'select 1', becomes: 'select 1', sends: [] },
  {
    name: 'one after the other',
    dialects: all,
    sql: 'insert into t (a, b) values ($1, $2)',
    becomes: 'insert into t (a, b) values (?, ?)',
    sends: [1, 2],
  },
  {
    name: 'repeated, unordered, and more than nine',
    dialects: all,
    sql: 'select $11, $2, $1, $2',
    becomes: 'select ?, ?, ?, ?',
    sends: [11, 2, 1, 2],
  },
  {
    name: 'a cast',
    dialects: ['postgres'],
    sql: 'select $1::jsonb, ($2)::text[], a::int',
    becomes: 'select ?::jsonb, (?)::text[], a::int',
    sends: [1, 2],
  },
  {
    name: 'text, with doubled quotes',
    dialects: all,
    sql: "select 'it''s $1', $1, '$2'",
    becomes: "select 'it''s $1', ?, '$2'",
    sends: [1],
  },
  {
    name: 'text that ends with a backslash, where it escapes nothing',
    dialects: ['postgres', 'sqlite'],
    sql: String.raw`select 'C:\', $1`,
    becomes: String.raw`select 'C:\', ?`,
    sends: [1],
  },
  {
    name: 'text with an escaped quote on MySQL',
    dialects: ['mysql', 'mariadb'],
    sql: String.raw`select 'it\'s $1', "say \"$1\"", $2, '\\', $1`,
    becomes: String.raw`select 'it\'s $1', "say \"$1\"", ?, '\\', ?`,
    sends: [2, 1],
  },
  {
    name: 'an E string of PostgreSQL, also over two lines',
    dialects: ['postgres'],
    sql: String.raw`select E'it\'s $1', e'a\\', $1, E'a'` + '\n  ' + String.raw`'\'$2', $2`,
    becomes: String.raw`select E'it\'s $1', e'a\\', ?, E'a'` + '\n  ' + String.raw`'\'$2', ?`,
    sends: [1, 2],
  },
  {
    name: 'a name that ends with e before text is no E string',
    dialects: ['postgres'],
    sql: String.raw`select date'\', $1`,
    becomes: String.raw`select date'\', ?`,
    sends: [1],
  },
  {
    name: 'quoted names',
    dialects: ['postgres', 'sqlite'],
    sql: 'select "a$1", "b""$2", $1',
    becomes: 'select "a$1", "b""$2", ?',
    sends: [1],
  },
  {
    name: 'quoted names of MySQL and SQLite',
    dialects: ['mysql', 'sqlite'],
    sql: 'select `a$1`, `b``$2?`, $1',
    becomes: 'select `a$1`, `b``$2?`, ?',
    sends: [1],
  },
  {
    name: 'names in brackets on SQLite',
    dialects: ['sqlite'],
    sql: 'select [a $1?], $1',
    becomes: 'select [a $1?], ?',
    sends: [1],
  },
  {
    name: 'an array of PostgreSQL is no name in brackets',
    dialects: ['postgres'],
    sql: 'select array[$1, $2]',
    becomes: 'select array[?, ?]',
    sends: [1, 2],
  },
  {
    name: 'names that hold a $',
    dialects: all,
    sql: 'select a$1, $1 from t$2',
    becomes: 'select a$1, ? from t$2',
    sends: [1],
  },
  {
    name: 'line comments',
    dialects: all,
    sql: "select $1 -- it's $2?\n, $2",
    becomes: "select ? -- it's $2?\n, ?",
    sends: [1, 2],
  },
  {
    name: 'a comment that begins with #, on MySQL',
    dialects: ['mysql', 'mariadb'],
    sql: "select $1 # it's $2?\n, $2",
    becomes: "select ? # it's $2?\n, ?",
    sends: [1, 2],
  },
  {
    name: 'two minus signs before a number are no comment on MySQL',
    dialects: ['mysql'],
    sql: 'select 1--1, $1',
    becomes: 'select 1--1, ?',
    sends: [1],
  },
  {
    name: 'block comments',
    dialects: all,
    sql: "select /* it's $1? */ $1 /**/, $2 /* open $3",
    becomes: "select /* it's $1? */ ? /**/, ? /* open $3",
    sends: [1, 2],
  },
  {
    name: 'nested block comments, on PostgreSQL',
    dialects: ['postgres'],
    sql: 'select /* $1 /* $2 */ $3 */ $1 /* a */, $2',
    becomes: 'select /* $1 /* $2 */ $3 */ ? /* a */, ?',
    sends: [1, 2],
  },
  {
    name: 'block comments that do not nest',
    dialects: ['mysql', 'sqlite'],
    sql: 'select /* $1 /* $2 */ $1',
    becomes: 'select /* $1 /* $2 */ ?',
    sends: [1],
  },
  {
    name: 'a comment that MySQL executes',
    dialects: ['mysql', 'mariadb'],
    sql: 'select /*!50100 $1, */ /*M! $2, */ $3',
    becomes: 'select /*!50100 ?, */ /*M! ?, */ ?',
    sends: [1, 2, 3],
  },
  {
    name: 'dollar quotes',
    dialects: ['postgres'],
    sql: "do $$ select '$1 $x$ $$; select $tag$ $1 $$ $2 $tag$, $1, $_a1$x$_a1$",
    becomes: "do $$ select '$1 $x$ $$; select $tag$ $1 $$ $2 $tag$, ?, $_a1$x$_a1$",
    sends: [1],
  },
  {
    name: 'text that is not closed',
    dialects: all,
    sql: "select $1, 'open $2",
    becomes: "select ?, 'open $2",
    sends: [1],
  },
  {
    name: 'a ? in text and in comments',
    dialects: all,
    sql: "select 'who?', $1 /* why? */",
    becomes: "select 'who?', ? /* why? */",
    sends: [1],
  },
  { name: 'nothing', dialects: all, sql: '', becomes: '', sends: [] },
]

const values = Array.from({ length: 12 }, (_, index) => `value ${index + 1}`)

/**
 * Converts `becomes` to another style. Only `?` outside of quotes and comments are placeholders.
 */
function inStyle(becomes: string, dialect: Dialect, mark: (number: number) => string): string {
  let count = 0
  return splitStatement(becomes, dialect)
    .map(({ kind, text }) =>
      kind === 'code' ? text.replace(/\?/g, () => mark((count += 1))) : text,
    )
    .join('')
}

for (const { name, dialects, sql, becomes, sends } of cases)
  for (const dialect of dialects)
    test(`${dialect}: ${name}`, () => {
      const sent = sends.map((number) => values[number - 1])
      assert.deepEqual(bindStatement(sql, values, dialect, 'question'), {
        sql: becomes,
        parameters: sent,
      })
      assert.deepEqual(bindStatement(sql, values, dialect, 'marked'), {
        sql: inStyle(becomes, dialect, () => PLACEHOLDER_MARK),
        parameters: sent,
      })
      assert.deepEqual(bindStatement(sql, values, dialect, 'numbered'), { sql, parameters: values })
      assert.equal(
        splitStatement(sql, dialect)
          .map(({ text }) => text)
          .join(''),
        sql,
      )
    })

describe('characters that a style cannot carry', () => {
  test('an operator with ? works with numbers and with marks', () => {
    const sql = "select data ? 'key', data ?| array[$1]"
    assert.deepEqual(bindStatement(sql, ['a'], 'postgres', 'numbered'), { sql, parameters: ['a'] })
    assert.deepEqual(bindStatement(sql, ['a'], 'postgres', 'marked'), {
      sql: `select data ? 'key', data ?| array[${PLACEHOLDER_MARK}]`,
      parameters: ['a'],
    })
    assert.throws(() => bindStatement(sql, ['a'], 'postgres', 'question'), {
      code: 'CONFIGURATION',
    })
  })

  test('a ? for a parameter is refused', () => {
    for (const dialect of ['mysql', 'sqlite'] as const)
      assert.throws(() => bindStatement('select ?', ['a'], dialect), { code: 'CONFIGURATION' })
  })

  test('the mark itself is refused, even in text', () => {
    assert.throws(() => bindStatement(`select '${PLACEHOLDER_MARK}'`, [], 'mysql', 'marked'), {
      code: 'CONFIGURATION',
    })
  })

  test('a placeholder without a value is refused', () => {
    for (const style of ['numbered', 'question', 'marked'] as PlaceholderStyle[])
      for (const sql of ['select $2', 'select $0'])
        assert.throws(() => bindStatement(sql, ['a'], 'postgres', style), /has no value/)
  })
})

test('without a style, statements are written as the dialect does', () => {
  assert.equal(bindStatement('select $1', [1], 'postgres').sql, 'select $1')
  assert.equal(bindStatement('select $1', [1], 'sqlite').sql, 'select ?')
})

test('an executor for engines passes on the result, and takes a statement without parameters', async () => {
  const seen: unknown[] = []
  const executor: Executor = {
    run(sql, parameters) {
      seen.push([sql, parameters])
      return Promise.resolve({ rows: [{ a: 1 }], affected: 2 })
    },
  }
  const portable = createPortableExecutor(executor, 'mysql')
  assert.deepEqual(await portable.run('select $1', [true]), { rows: [{ a: 1 }], affected: 2 })
  await portable.run('select 1')
  await assert.rejects(portable.run('select $1'), { code: 'CONFIGURATION' })
  assert.deepEqual(seen, [
    ['select ?', [1]],
    ['select 1', []],
  ])
})
