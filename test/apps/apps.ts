// `npm run test:apps`: each app of examples/apps is installed as a user would have it, and used as
// its visitors use it.
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { after, test } from 'node:test'
import { postgresDatabase, closeDatabases } from '../support/databases.ts'
import { drive } from './drive.ts'
import { install } from './install.ts'
import { withoutEngine } from './prepare.ts'

after(() => closeDatabases())

const all = readdirSync('examples/apps', { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() ? [entry.name] : [],
)
const named = (process.env['TEST_APPS'] ?? '').split(' ').filter((name) => name !== '')
const names = named.length > 0 ? named : all
for (const name of names)
  assert.ok(all.includes(name), `There is no app ${name}: ${all.join(', ')}`)

/** The databases of each app. Default: SQLite. */
const databases: Readonly<Record<string, readonly ('SQLite' | 'PostgreSQL')[]>> = {
  'express-sequelize': ['PostgreSQL'],
  'express-typeorm': ['SQLite', 'PostgreSQL'],
  'next-prisma': ['SQLite', 'PostgreSQL'],
}

test('the example apps', { concurrency: availableParallelism() }, async (t) => {
  const ran = names.map((name) =>
    t.test(name, { concurrency: 1, timeout: 600_000 }, async (t) => {
      const app = await install(t, name)
      await t.test('is type-checked', () => app.run('typecheck', withoutEngine))
      for (const kind of databases[name] ?? ['SQLite'])
        await t.test(`on ${kind}`, async (t) => {
          if (kind === 'SQLite') return drive(t, app, null)
          const made = await postgresDatabase()
          if (made === null) return t.skip('no PostgreSQL answered and none could be brought up')
          t.after(() => made.close())
          await drive(t, app, made.url)
        })
    }),
  )
  await Promise.all(ran)
})
