// Settings that the suite of ORMs runs with on a database: record ids and number of connections.
import mariadb from 'mariadb'
import pg from 'pg'
import type { Kind } from './databases.ts'

export interface Variety {
  readonly recordId: 'bigint' | 'uuid'
  /** Number of connections of the app's pool. */
  readonly connections: number
  /** Some of the tests, or all, named after what they are run with. */
  test(run: Test): Test
}
type Test = (title: string, run: () => Promise<void>) => unknown

export const usual: Variety = { recordId: 'bigint', connections: 3, test: (run) => run }
const some =
  (matching: RegExp): Variety['test'] =>
  (run) =>
  (title, body) =>
    matching.test(title) && run(`${title} (uuids, one connection)`, body)
/**
 * UUIDs and one connection. Tests of refused records are left out: they do not depend on either.
 */
const single: Variety = {
  recordId: 'uuid',
  connections: 1,
  test: some(/^(?!a required|files over)/),
}
/** A few of those tests, for a database whose other tests run with numbers as ids. */
const briefly: Variety = {
  ...single,
  test: some(/committed together|nothing but files|destroyed|assigned directly/),
}

/** `npm run proof:orms` runs all of them. */
const isAll = process.env['TEST_VARIETIES'] === 'all'

export const varieties = ({ name }: Kind): readonly Variety[] =>
  ({ PostgreSQL: [usual, isAll ? single : briefly], MariaDB: isAll ? [usual, briefly] : [usual] })[
    name
  ] ?? [usual]

/** Ids that no number of JavaScript holds, from here on. */
export async function countFarther(
  { name }: Kind,
  url: string,
  { recordId }: Variety,
): Promise<void> {
  const first = 2n ** 53n + 1n
  if (name === 'SQLite' || recordId !== 'bigint') return
  if (name === 'PostgreSQL') {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    for (const table of ['users', 'members'])
      await client.query(`alter sequence ${table}_id_seq restart with ${first}`)
    return client.end()
  }
  const connection = await mariadb.createConnection(url.replace(/^mysql:/, 'mariadb:'))
  for (const table of ['users', 'members'])
    await connection.query(`alter table ${table} auto_increment = ${first}`)
  await connection.end()
}
