// An example, started as a user starts it, and used as a visitor uses it.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

const { NODE_TEST_CONTEXT: _ours, ...env } = process.env

const png = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=', 'base64')

/** Starts an example on a free port and on data of its own. Resolves with its address. */
export async function started(t: TestContext, args: readonly string[], cwd = '.'): Promise<string> {
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
export async function signUp(url: string): Promise<void> {
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
