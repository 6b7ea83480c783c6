// The command line as an operator uses it: separate processes on a database file.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { PassThrough } from 'node:stream'
import { DatabaseSync } from 'node:sqlite'
import { after, test, type TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import { getInternals } from '../src/storage/internals.ts'
import { run } from '../src/cli/run.ts'
import { findOldTransaction } from '../src/database/old-transaction.ts'
import type { StorageStatus } from '../src/index.ts'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import { kinds, closeDatabases } from './support/databases.ts'
import { fresh } from './support/storage.ts'

after(() => closeDatabases())

const bin = resolve('src/cli/bin.ts')
const from = (path: string): string => JSON.stringify(pathToFileURL(resolve(path)).href)

async function app(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'cli-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await writeFile(
    join(folder, 'activestorage.config.ts'),
    `import { existsSync } from 'node:fs'
import { createActiveStorage, hasManyAttached, hasOneAttached, ServiceError } from ${from('src/index.ts')}
import { disk } from ${from('src/services/disk.ts')}
import { sqlite } from ${from('src/database/sqlite.ts')}
const files = disk({ root: 'files' })
export const storage = createActiveStorage({
  database: sqlite('app.db'),
  services: { local: { ...files, upload: (...given) => existsSync('down') ? Promise.reject(new ServiceError('the service is down')) : files.upload(...given) } },
  models: { User: { photo: hasOneAttached(), docs: hasManyAttached() } },
  findRecord: { User: (id) => ({ id }) },
  retries: { attempts: 1 },
  secretKeyBase: 'a secret of the tests',
  logger: false,
})
`,
  )
  const call = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args], {
      cwd: folder,
      encoding: 'utf8',
    })
    return { status, stdout, stderr, json: () => JSON.parse(stdout) as unknown }
  }
  const submit = async (name: string): Promise<void> => {
    const script = `const { storage } = await import(${JSON.stringify(pathToFileURL(join(folder, 'activestorage.config.ts')).href)}); await storage.record('User', 1).docs.attachLater(new File(['x'], '${name}')); await storage.close()`
    assert.equal(
      spawnSync(process.execPath, ['--input-type=module', '-e', script], { cwd: folder }).status,
      0,
    )
  }
  return { folder, call, submit }
}

test('the commands do their work, with exit codes and JSON for scripts', async (t) => {
  const { folder, call, submit } = await app(t)
  assert.match(call('status').stderr, /Run storage\.migrate\(\)/)
  assert.equal(call('migrate').status, 0)
  await writeFile(join(folder, 'down'), '')
  await submit('a.txt')
  await submit('b.txt')
  assert.equal(call('drain').status, 1)
  const status = call('status').json() as StorageStatus
  assert.equal(status.uploads.failed, 2)
  assert.deepEqual(
    status.failed.map(({ record, name, lastError, files }) => [record, name, lastError, files]),
    [
      [{ type: 'User', id: '1' }, 'docs', 'the service is down (User 1, docs, a.txt)', ['a.txt']],
      [{ type: 'User', id: '1' }, 'docs', 'the service is down (User 1, docs, b.txt)', ['b.txt']],
    ],
  )
  assert.deepEqual(status.workers, [])
  const [first, second] = status.failed
  assert.deepEqual(call('discard', second!.id).json(), {
    done: [second!.id],
    missing: [],
    unchanged: [],
  })
  await rm(join(folder, 'down'))
  assert.deepEqual(call('retry', first!.id, 'missing').json(), {
    done: [first!.id],
    missing: ['missing'],
    unchanged: [],
  })
  const again = call('retry', first!.id)
  assert.deepEqual(
    [again.status, again.json()],
    [0, { done: [], missing: [], unchanged: [first!.id] }],
  )
  assert.deepEqual(call('drain', '--timeout', '30s').json(), {
    uploaded: 1,
    retried: 0,
    failed: 0,
    remaining: 0,
  })
  assert.equal(call('sweep').status, 0)
  assert.deepEqual(call('reconcile', '--dry-run').json(), { removed: 0, dryRun: true })
  assert.equal(call('retry', '--failed').status, 0)
})

test('a typing error exits with 2 and a reason; a missing configuration names the places searched', async (t) => {
  const { call, folder } = await app(t)
  const told: readonly (readonly [args: readonly string[], stderr: RegExp])[] = [
    [[], /^/],
    [['fly'], /There is no command 'fly'[^]*drain/],
    [['status', '--fast'], /--fast/],
    [['retry'], /./],
    [['generate'], /./],
    [['work', '--concurrency', 'x'], /--concurrency is 'x'/],
    [['work', '--concurrency', '0'], /--concurrency is '0': give a whole number above 0/],
    [['drain', '--timeout', '10'], /--timeout is "10": give a duration with its unit/],
    [['status', '--config', 'nope.ts'], /There is no file .*nope\.ts/],
    [['sweep', 'now', 'please'], /sweep takes no 'now please'/],
    [
      ['sweep', '--failed'],
      /sweep has no option --failed, and nothing was done\. Its options are --dry-run/,
    ],
    [['migrate', '--dry-run'], /migrate has no option --dry-run/],
    [['retry', 'x', '--yes'], /retry has no option --yes/],
    [['drain', '--older-than', '1h'], /drain has no option --older-than/],
    [['reconcile', '--older-than', 'banana'], /--older-than is "banana": give a duration/],
    [['discard', '--failed'], /add --yes/],
    [
      ['discard', 'x', '--failed', '--yes'],
      /discard takes ids, or --failed, which means all failed uploads: not both/,
    ],
    [['retry', 'x', '--failed'], /retry takes ids, or --failed/],
    [['generate', '--sql', '--dialect', 'oracle'], /There is no dialect 'oracle'/],
  ]
  for (const [args, stderr] of told) {
    const ended = call(...args)
    assert.equal(ended.status, 2, args.join(' '))
    assert.match(ended.stderr, stderr)
    assert.equal(ended.stderr.trim().includes('\n'), false, `${args.join(' ')}: one line`)
  }
  assert.equal(existsSync(join(folder, 'app.db')), false, 'nothing is opened')
  const help = call('--help')
  assert.equal(help.status, 0)
  assert.match(help.stdout, /--timeout <time> +work: [^]*drain: /)
  await writeFile(join(folder, 'broken.ts'), 'enum Colour { Red }')
  assert.match(
    call('status', '--config', 'broken.ts').stderr,
    /could not be loaded[^]*run\(storage\)/,
  )
  await writeFile(join(folder, 'throwing.ts'), "throw new Error('Set DATABASE_URL.')")
  const { stderr } = call('status', '--config', 'throwing.ts')
  assert.match(stderr, /throwing\.ts could not be loaded: Set DATABASE_URL\.\s*$/)
})

test('a configuration in a CommonJS package is refused with a way to load it', async (t) => {
  const { call, folder } = await app(t)
  await writeFile(join(folder, 'package.json'), '{ "type": "commonjs" }')
  for (const text of ["import 'node:fs'", 'export const storage = 1']) {
    await writeFile(join(folder, 'common.ts'), text)
    const { status, stderr } = call('status', '--config', 'common.ts')
    assert.equal(status, 1)
    assert.match(
      stderr,
      /common\.ts could not be loaded[^]*activestorage\.config\.mts, or set "type": "module"/,
    )
  }
})

test('retry and discard print sentences on a terminal', async (t) => {
  const app = await fresh(
    t,
    kinds.find((kind) => kind.name.startsWith('SQLite'))!,
    { User: { photo: hasOneAttached() } },
  )
  if (app === null) return
  const upload = await app.storage.record('User', 1).photo.attachLater(new File(['x'], 'x.txt'))
  const said: string[] = []
  t.mock.method(console, 'log', (line: string) => said.push(line))
  const before = process.stdout.isTTY
  process.stdout.isTTY = true
  t.after(() => (process.stdout.isTTY = before))
  // run() closes the storage that it is handed.
  const storage = Object.assign(Object.create(app.storage) as typeof app.storage, {
    close: () => Promise.resolve(),
  })
  assert.equal(await run(storage, ['retry', upload!.id]), 0)
  assert.equal(await run(storage, ['discard', upload!.id]), 0)
  assert.equal(await run(storage, ['discard', upload!.id]), 1)
  assert.deepEqual(said, [
    `0 uploads are retried.\nThe upload ${upload!.id} has not failed: it is pending. Nothing was done.`,
    '1 upload is discarded.',
    `0 uploads are discarded.\nThere is no upload ${upload!.id}.`,
  ])
})

test('a dry run changes nothing; discard --failed prints a count and asks on a terminal', async (t) => {
  const app = await fresh(
    t,
    kinds.find((kind) => kind.name.startsWith('SQLite'))!,
    { User: { docs: hasManyAttached() } },
  )
  if (app === null) return
  const { docs } = app.storage.record('User', 1)
  Object.assign(app.service, { failures: 2, final: true })
  for (const name of ['a', 'b']) await docs.attachLater(new File(['x'], name))
  await app.storage.drain()
  const said: unknown[] = []
  t.mock.method(console, 'log', (line: string) => said.push(JSON.parse(line)))
  // run() closes the storage that it is handed.
  const type = (...args: string[]): Promise<number> => run(app.another(), args)
  const failed = (await app.storage.delayedUploads.list({ state: 'failed', order: 'oldest' })).map(
    ({ id }) => id,
  )
  const states = async (): Promise<string[]> =>
    (await docs.delayedUploads()).map(({ state }) => state)
  for (const args of [
    ['discard', '--failed'],
    ['retry', '--failed'],
    ['discard', ...failed],
  ]) {
    assert.equal(await type(...args, '--dry-run'), 0)
    assert.deepEqual(said.pop(), { done: failed, missing: [], unchanged: [], dryRun: true })
    assert.deepEqual(await states(), ['failed', 'failed'])
  }

  const query = async (sql: string) => (await app.made.database.executor.run(sql, [])).rows
  await app.storage.stage(new File(['x'], 'expired'))
  await query("update activestorage_delayed_files set expires_at = 0 where filename = 'expired'")
  await docs.attachLater(new File(['x'], 'left'))
  await query("update activestorage_delayed_uploads set state = 'running' where state = 'pending'")
  await docs.attachLater(new File(['x'], 'orphan'))
  await query("delete from activestorage_delayed_uploads where state = 'pending'")
  await query(
    "insert into activestorage_delayed_uploads (uploadable_type, uploadable_id, attr_name, files, created_at, updated_at) values ('User', 2, 'docs', '[]', '2020-01-01 00:00:00', '2020-01-01 00:00:00')",
  )
  const rows = () =>
    query(
      'select state, token from activestorage_delayed_uploads union all select state, id from activestorage_delayed_files',
    )
  const before = await rows()
  const found = { abandoned: 1, givenUp: 0, orphaned: 1, expired: 1, emptied: 0, gemRows: 1 }
  assert.equal(await type('sweep', '--dry-run'), 0)
  assert.deepEqual(said.pop(), { dryRun: true, ...found })
  assert.deepEqual(await rows(), before)
  await app.storage.sweep()
  await type('sweep', '--dry-run')
  assert.deepEqual(said.pop(), {
    dryRun: true,
    ...found,
    abandoned: 0,
    orphaned: 0,
    expired: 0,
    gemRows: 0,
  })

  const stdin = Object.getOwnPropertyDescriptor(process, 'stdin')!
  t.after(() => Object.defineProperty(process, 'stdin', stdin))
  const asked: string[] = []
  t.mock.method(process.stderr, 'write', (text: string) => asked.push(text) > 0)
  for (const [answer, code, left] of [
    ['\n', 1, 2],
    [null, 1, 2],
    ['yes\n', 0, 0],
  ] as const) {
    const terminal = Object.assign(new PassThrough(), { isTTY: true })
    Object.defineProperty(process, 'stdin', { configurable: true, value: terminal })
    terminal.end(answer ?? undefined)
    assert.equal(await type('discard', '--failed'), code)
    assert.match(asked.splice(0).join(''), /2 failed uploads with 2 bytes will be discarded/)
    assert.equal((await states()).filter((state) => state === 'failed').length, left)
  }
})

test('generate --sql makes the same tables as migrate', async (t) => {
  const { call, folder } = await app(t)
  call('migrate')
  const { stdout } = call('generate', '--sql')
  const made = new DatabaseSync(':memory:')
  made.exec(stdout)
  const schema = (database: DatabaseSync): unknown[] =>
    database
      .prepare(
        "select type, name, tbl_name from sqlite_master where name not like 'sqlite_%' order by name",
      )
      .all()
  const migrated = new DatabaseSync(join(folder, 'app.db'))
  assert.deepEqual(schema(made), schema(migrated))
  migrated.close()
  for (const dialect of ['postgres', 'mysql'])
    assert.match(
      call('generate', '--sql', '--dialect', dialect).stdout,
      /create table if not exists/,
    )
  assert.equal(call('generate', '--prisma').stdout, stdout)
  const both = call('generate', '--knex', '--typeorm')
  assert.deepEqual([both.status, both.stdout], [2, ''])
  assert.match(both.stderr, /generate takes one of --sql, .*--typeorm\./)
  assert.equal(
    await readFile(join(folder, 'activestorage.config.ts'), 'utf8').then((text) =>
      text.includes('storage'),
    ),
    true,
  )
})

test('work uploads until SIGTERM, reports that it is alive, and exits with 0', async (t) => {
  const { folder, call, submit } = await app(t)
  call('migrate')
  const worker = spawn(process.execPath, [bin, 'work', '--timeout', '5s'], { cwd: folder })
  const ended = new Promise((done) => worker.once('exit', done))
  for await (const chunk of worker.stdout) if (String(chunk).includes('working')) break
  await submit('a.txt')
  const uploaded = (): boolean => (call('status').json() as StorageStatus).uploads.pending === 0
  while (!uploaded());
  const { workers } = call('status').json() as StorageStatus
  assert.deepEqual(
    workers.map((each) => [each.alive, each.attachments]),
    [[true, ['User.photo', 'User.docs']]],
  )
  worker.kill('SIGTERM')
  assert.equal(await ended, 0)
  assert.deepEqual((call('status').json() as StorageStatus).workers, [])
})

test('status names the transaction that keeps vacuum waiting', async (t) => {
  const app = await fresh(
    t,
    kinds.find((kind) => kind.name === 'PostgreSQL')!,
    { User: { photo: hasOneAttached() } },
  )
  if (app === null) return
  const { session } = await getInternals(app.storage)!.openStore()
  await app.storage.transaction(async (tx) => {
    await app.made.execute(tx, 'create temporary table written (id int)')
    const found = await findOldTransaction(session, 0)
    assert.ok(found !== null && found.pid > 0 && found.openFor > 0)
  })
  assert.equal(await findOldTransaction(session, 86_400_000), null)
})
