// The tests of the example app, under each runner, on the package as it is built.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)
const { NODE_TEST_CONTEXT: _ours, ...env } = process.env
const node = async (...args: readonly string[]): Promise<string> => {
  const { stdout, stderr } = await run(process.execPath, args, { env })
  return stdout + stderr
}

await node('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json')

test('the example app is tested by node:test, vitest and Jest', async (t) => {
  await t.test('node:test', async () => assert.match(await node('--test', 'examples/testing/node/*.test.ts'), /pass 3/))
  await t.test('vitest', async () =>
    assert.match(await node('node_modules/vitest/vitest.mjs', 'run', '--root', 'examples/testing/vitest'), /3 passed/),
  )
  await t.test('Jest', async () =>
    assert.match(
      await node('--experimental-vm-modules', 'node_modules/jest/bin/jest.js', '--config', 'examples/testing/jest/jest.config.js'),
      /3 passed/,
    ),
  )
})

const png = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=', 'base64')

/** Starts an example on a free port and on data of its own. Resolves with its address. */
async function started(t: TestContext, args: readonly string[], cwd = '.'): Promise<string> {
  const data = await mkdtemp(join(tmpdir(), 'example-'))
  const app = spawn(process.execPath, args, { cwd, env: { ...env, DATA: data, PORT: '0', NEXT_TELEMETRY_DISABLED: '1' } })
  const exited = new Promise((resolve) => app.once('exit', resolve))
  t.after(async () => {
    app.kill('SIGTERM')
    await exited
    await rm(data, { recursive: true, force: true })
  })
  // The errors that an app logs are asked for here.
  app.stderr.resume()
  let output = ''
  for await (const chunk of app.stdout) {
    output += String(chunk)
    const [address] = /http:\/\/\S+(?=\s)/.exec(output) ?? []
    if (address !== undefined) return address.replace('[::1]', 'localhost')
  }
  throw new Error(`The example ended: ${output}`)
}

/** As a browser does it: a form with files, and the page with them. */
async function signUp(url: string): Promise<void> {
  const form = new FormData()
  form.set('user[name]', 'Ada')
  form.set('user[photo]', new File([png], 'ada.png', { type: 'image/png' }))
  form.append('user[certificates][]', new File(['%PDF-1.4'], 'é.pdf', { type: 'application/pdf' }))
  const saved = await fetch(`${url}/users`, { method: 'POST', body: form, redirect: 'manual' })
  assert.deepEqual([saved.status, saved.headers.get('location')], [303, '/'])
  const photoOn = async (): Promise<string> => /<img src="([^"]+)"/.exec(await (await fetch(url)).text())?.[1] ?? ''
  const shown = await photoOn()
  assert.deepEqual(Buffer.from(await (await fetch(url + shown)).arrayBuffer()), png)
  // The worker is in the process.
  let stored = shown
  while (!stored.includes('/blobs/')) stored = await photoOn()
  assert.deepEqual(Buffer.from(await (await fetch(url + stored)).arrayBuffer()), png)
  form.set('user[photo]', new File(['text'], 'no.txt'))
  const refused = await fetch(`${url}/users`, { method: 'POST', body: form })
  assert.equal(refused.status, 415)
  assert.match(await refused.text(), /no\.txt is text\/plain/)
}

for (const framework of ['express', 'fastify', 'hono', 'nest'])
  test(`the example of ${framework} saves a form with files, shows and stores them`, async (t) => {
    await signUp(await started(t, [`examples/${framework}/app.ts`]))
  })

test('the example of Next.js, built, saves a form with files, shows and stores them', async (t) => {
  const next = join(import.meta.dirname, '../node_modules/next/dist/bin/next')
  const app = 'examples/next'
  const installed = `${app}/node_modules/activestorage-delayed`
  await rm(installed, { recursive: true, force: true })
  for (const part of ['dist', 'package.json']) await cp(part, `${installed}/${part}`, { recursive: true })
  await run(process.execPath, [next, 'build'], { cwd: app, env: { ...env, NEXT_TELEMETRY_DISABLED: '1' } })
  await signUp(await started(t, [next, 'start', '--port', '0'], app))
})
