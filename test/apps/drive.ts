// An app, driven from outside: by its pages, by signals, and by the command that it has of this
// package.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { mkdtemp, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import {
  appEnv,
  launch,
  png,
  save,
  signUp,
  stored,
  type VisitorsFiles,
} from '../support/example-app.ts'
import { openUrl } from '../support/servers.ts'
import type { InstalledApp } from './install.ts'
import { prepare } from './prepare.ts'

/**
 * Builds the app and drives it on data of its own. `databaseUrl` is null for the app's own SQLite.
 */
export async function drive(
  t: TestContext,
  installed: InstalledApp,
  databaseUrl: string | null,
): Promise<void> {
  const { folder } = installed
  const data = await mkdtemp(join(folder, 'data-')) // goes with the app
  const env = {
    DATA: data,
    PORT: '0',
    ...(databaseUrl === null ? {} : { DATABASE_URL: databaseUrl }),
  }
  await prepare(installed, env, databaseUrl ?? join(data, 'app.db'))
  const start = await startOf(folder)
  const begin = () => launch(start, folder, env)
  let app = await begin()
  t.after(() => app.end('SIGKILL'))
  const query = async (sql: string): Promise<readonly Record<string, unknown>[]> => {
    const database = openUrl(databaseUrl ?? sqliteIn(data))
    try {
      return (await database.executor.run(sql, [])).rows
    } finally {
      await database.close()
    }
  }
  const attachments = async (): Promise<number> =>
    Number((await query('select count(*) as n from active_storage_attachments'))[0]?.['n'])

  await t.test(
    'a form is saved with its files, which are shown at once and stored later; a wrong file is refused',
    () => signUp(app.url),
  )

  await t.test('many forms at once are all saved', async () => {
    const before = await attachments()
    const visitors = Array.from({ length: 8 }, (_, index) => ({
      name: `Visitor ${index}`,
      files: { photo: png, certificates: [`% ${index}`] },
    }))
    await Promise.all(visitors.map(({ name, files }) => save(app.url, name, files)))
    for (const { name, files } of visitors) await stored(app.url, name, files)
    assert.equal((await attachments()) - before, 16)
  })

  await t.test('SIGTERM right after the answer ends it cleanly, and nothing is lost', async () => {
    await save(app.url, 'Grace', many)
    const began = performance.now()
    assert.equal(await app.end('SIGTERM'), 0, app.output())
    assert.ok(performance.now() - began < 10_000, 'it took more than ten seconds')
    app = await begin()
    await stored(app.url, 'Grace', many)
  })

  await t.test(
    'SIGKILL right after the answer loses nothing, and attaches nothing twice',
    async () => {
      const before = await attachments()
      await save(app.url, 'Alan', many)
      await app.end('SIGKILL')
      assert.ok(
        (await attachments()) - before < 4,
        'all was attached when it was killed: nothing is proved',
      )
      await query(
        `update activestorage_delayed_uploads set lease_until = 1 where state = 'running'`,
      ) // a minute later
      app = await begin()
      await stored(app.url, 'Alan', many)
      assert.equal((await attachments()) - before, 4)
    },
  )

  await t.test('the command tells that nothing waits and nothing failed', async () => {
    assert.equal(await app.end('SIGTERM'), 0, app.output())
    const { pending, running, failed } = (await statusOf(folder, env)).uploads
    assert.deepEqual({ pending, running, failed }, { pending: 0, running: 0, failed: 0 })
    assert.equal(objectsIn(data), await attachments())
  })
}

/** Three of them are long enough to be under way when the answer is there. */
const many: VisitorsFiles = {
  photo: png,
  certificates: ['a', 'b', 'c'].map((letter) => letter.repeat(4_000_000)),
}

async function startOf(folder: string): Promise<string> {
  const { scripts } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as {
    scripts: { start: string }
  }
  return scripts.start
}

function sqliteIn(data: string): string {
  const [file] = globSync(join(data, '*.{db,sqlite,sqlite3}'))
  assert.ok(file, `no database of SQLite in ${data}`)
  return file
}

const objectsIn = (data: string): number => globSync(join(data, 'storage/*/*/*')).length

interface Status {
  readonly uploads: { readonly pending: number; readonly running: number; readonly failed: number }
}

async function statusOf(cwd: string, env: Readonly<Record<string, string>>): Promise<Status> {
  const { stdout } = await promisify(execFile)(
    join(cwd, 'node_modules/.bin/activestorage-delayed'),
    ['status', '--json'],
    {
      cwd,
      env: { ...appEnv, ...env },
    },
  )
  return JSON.parse(stdout) as Status
}
