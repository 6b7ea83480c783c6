// Commands for operators work and end, whatever connections the app keeps open.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { formatStatus } from '../src/cli/format-status.ts'
import { hasOneAttached } from '../src/index.ts'
import { mariadbDatabase, postgresDatabase, closeDatabases } from './support/databases.ts'
import { atEach, closeServers, databases } from './support/races.ts'

after(async () => {
  await closeServers()
  await closeDatabases()
})

const from = (path: string): string => JSON.stringify(pathToFileURL(resolve(path)).href)

const fromUrl = `import { accountOf } from ${from('test/support/databases.ts')}
const account = accountOf(process.env.APP_URL)`
const pools = {
  pg: {
    create: postgresDatabase,
    database: `import pg from 'pg'
import { postgres } from ${from('src/database/postgres.ts')}
const database = postgres(new pg.Pool({ connectionString: process.env.APP_URL }))`,
  },
  mariadb: {
    create: mariadbDatabase,
    database: `import mariadb from 'mariadb'
import { mysql } from ${from('src/database/mysql.ts')}
${fromUrl}
const database = mysql(mariadb.createPool(account))`,
  },
  mysql2: {
    create: mariadbDatabase,
    database: `import mysql2 from 'mysql2/promise'
import { mysql } from ${from('src/database/mysql.ts')}
${fromUrl}
const database = mysql(mysql2.createPool(account))`,
  },
}

for (const [driver, { create, database }] of Object.entries(pools))
  test(
    `the command line ends although the app's own ${driver} pool stays open`,
    { timeout: 60_000 },
    async (t) => {
      const made = await create()
      if (made === null) return t.skip('no server answered')
      t.after(() => made.close())
      // The folder is below `test`, where the drivers are found.
      const folder = await mkdtemp(join(resolve('test'), '.operators-'))
      t.after(() => rm(folder, { recursive: true }))
      await writeFile(
        join(folder, 'activestorage.config.ts'),
        `${database}
import { createActiveStorage, hasOneAttached } from ${from('src/index.ts')}
import { memory } from ${from('src/services/memory.ts')}
export const storage = createActiveStorage({
  database,
  services: { local: memory() },
  models: { User: { photo: hasOneAttached() } },
  secretKeyBase: 'a secret of the tests',
  logger: false,
})
`,
      )
      const call = async (command: string) => {
        const child = spawn(process.execPath, [resolve('src/cli/bin.ts'), command], {
          cwd: folder,
          env: { ...process.env, APP_URL: made.url },
        })
        let late: ReturnType<typeof setTimeout> | undefined
        let said = ''
        for (const stream of [child.stdout, child.stderr])
          stream.on('data', (data: unknown) => {
            said += String(data)
            // An open pool keeps a process for ten seconds and more.
            late ??= setTimeout(() => child.kill('SIGKILL'), 6_000)
          })
        const ended = await new Promise((done) =>
          child.once('exit', (code, signal) => done(code ?? signal)),
        )
        clearTimeout(late)
        return { ended, said }
      }
      const { ended, said } = await call('migrate')
      assert.deepEqual([ended, /"migrated":true/.test(said)], [0, true], said)
    },
  )

atEach(
  databases,
  'status names rows of the gem by their attachment, also unknown ones',
  async (app) => {
    const at = '2020-01-01 00:00:00'
    for (const [type, name] of [
      ['User', 'photo'],
      ['User', 'photo'],
      ['User', 'portrait'],
      ['Account', 'logo'],
    ])
      await app.query(
        `insert into {uploads} (uploadable_type, uploadable_id, attr_name, created_at, updated_at) values ('${type}', 1, '${name}', '${at}', '${at}')`,
      )
    const storage = app.anotherWith({ User: { photo: hasOneAttached() } })
    const status = await storage.status()
    assert.deepEqual(status.gemRows, [
      { attachment: 'Account.logo', waiting: 1, known: false },
      { attachment: 'User.photo', waiting: 2, known: true },
      { attachment: 'User.portrait', waiting: 1, known: false },
    ])
    assert.match(formatStatus(status), /Account\.logo +1 +NO: define it/)
  },
)

atEach(databases, 'stats counts the workers that were seen lately', async (app) => {
  const alive = async (): Promise<number> => (await app.storage.delayedUploads.stats()).workersAlive
  assert.equal(await alive(), 0)
  const workers = [app.another().work(), app.another().work()]
  while ((await alive()) < 2) await new Promise(setImmediate)
  // One of them was not heard of for a minute.
  const [row] = await app.query('select id from {workers}')
  await app.query(
    `update {workers} set seen_at = seen_at - 60000 where id = '${String(row?.['id'])}'`,
  )
  assert.equal(await alive(), 1)
  for (const worker of workers) await worker.stop()
  assert.equal(await alive(), 0)
})
