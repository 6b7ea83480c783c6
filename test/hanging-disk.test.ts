// A disk that really hangs: its system calls block threads of the process.
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)
const support = resolve(import.meta.dirname, 'support')
const folder = await mkdtemp(join(tmpdir(), 'asd-hanging-'))
after(() => rm(folder, { recursive: true, force: true }))
const shim = join(folder, 'hang.so')
const built = spawnSync('cc', [
  '-shared',
  '-fPIC',
  '-o',
  shim,
  join(support, 'hanging-disk.c'),
  '-ldl',
])
const skip =
  process.platform === 'linux' && built.status === 0
    ? false
    : 'a disk that hangs needs Linux and a C compiler (cc)'

async function place(at: string) {
  const own = await mkdtemp(join(folder, 'app-'))
  const env = {
    ...process.env,
    LD_PRELOAD: shim,
    HANG_FOLDER: own,
    HANG_IN: 'hangs-here',
    HANG_AT: at,
    HANG_WHILE: join(own, 'while'),
  }
  return { env, hangs: () => writeFile(env.HANG_WHILE, '') }
}

for (const at of ['mkdir', 'open', 'rename'])
  test(
    `a disk that hangs in ${at} blocks no other service, at most two threads, and costs no attempt`,
    { skip },
    async () => {
      const { env } = await place(at)
      const { stdout } = await run(process.execPath, [join(support, 'hanging-disk-worker.ts')], {
        env,
        timeout: 60_000,
      })
      const { during, attempts, refused, isThreadFree, names } = JSON.parse(stdout)
      assert.equal(during.uploaded, 3)
      assert.deepEqual(attempts, [0, 0, 0, 0, 0])
      assert.match(refused.message, /^The disk of .* hangs: 2 calls to it do not return/)
      assert.ok(refused.took < 250, `refused after ${refused.took} ms, not at once`)
      assert.equal(isThreadFree, true)
      // It came back: each file is attached once.
      assert.deepEqual(
        names,
        [1, 2, 3, 4, 5].map((id) => [`hung ${id}.txt`]),
      )
    },
  )

test('drain --timeout ends in time with its exit code while a disk hangs', { skip }, async () => {
  const { env, hangs } = await place('mkdir')
  const seed = `import { storage } from ${JSON.stringify(join(support, 'hanging-disk-storage.ts'))}
    await storage.migrate()
    for (const id of [1, 2, 3]) await storage.record('User', id).hung.attachLater([new File(['x'], 'x.txt')])
    await storage.close()`
  await run(process.execPath, ['--input-type=module', '--eval', seed], { env })
  await hangs()
  const cli = resolve(import.meta.dirname, '../src/cli/bin.ts')
  const { stdout } = await run(
    process.execPath,
    [
      cli,
      'drain',
      '--timeout',
      '1s',
      '--json',
      '--config',
      join(support, 'hanging-disk-storage.ts'),
    ],
    { env, timeout: 30_000 },
  )
  assert.equal(JSON.parse(stdout).remaining, 3)
})
