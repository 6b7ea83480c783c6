// Starts an example as a user does, and uses it as a visitor does.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'

const { NODE_TEST_CONTEXT: _ours, DATABASE_URL: _theirs, ...env } = process.env

/** Environment of an example's processes: the same Node, and no variables of the tests. */
export const appEnv = {
  ...env,
  PATH: `${dirname(process.execPath)}${delimiter}${env['PATH']}`,
  NEXT_TELEMETRY_DISABLED: '1',
}

export interface RunningApp {
  readonly url: string
  /** Returns the output so far. */
  output(): string
  /**
   * Resolves with its exit code when it is gone; null: a signal ended it. SIGKILL takes what it
   * started along.
   */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null>
}

/**
 * Starts `command` and waits for the address that it prints. As a process manager does: npm and a
 * shell would keep SIGTERM for themselves.
 */
export async function launch(
  command: string,
  cwd: string,
  env: Readonly<Record<string, string>>,
): Promise<RunningApp> {
  const PATH = `${join(cwd, 'node_modules/.bin')}${delimiter}${appEnv.PATH}`
  const [settings = ''] = /^(\w+=\S+ )*/.exec(command) ?? []
  const app = spawn('sh', ['-c', `${settings}exec ${command.slice(settings.length)}`], {
    cwd,
    env: { ...appEnv, PATH, ...env },
    detached: true,
  })
  const exited = new Promise<number | null>((resolve) => app.once('exit', resolve))
  let output = ''
  const address = new Promise<string>((resolve) => {
    for (const stream of [app.stdout, app.stderr])
      stream.on('data', (chunk) => {
        output += String(chunk)
        const [found] = /http:\/\/\S+(?=\s)/.exec(output) ?? []
        if (found !== undefined) resolve(found.replace('[::1]', 'localhost'))
      })
  })
  const url = await Promise.race([address, exited.then(() => null)])
  if (url === null) throw new Error(`The example ended: ${output}`)
  return {
    url,
    output: () => output,
    end(signal) {
      if (signal === 'SIGTERM') app.kill(signal)
      else if (app.exitCode === null && app.signalCode === null) process.kill(-app.pid!, signal)
      return exited
    },
  }
}

/** Starts an example on a free port and on data of its own. Resolves with its address. */
export async function startExampleApp(
  t: TestContext,
  args: readonly string[],
  cwd = '.',
): Promise<string> {
  const data = await mkdtemp(join(tmpdir(), 'example-'))
  const app = await launch(['node', ...args].join(' '), cwd, { DATA: data, PORT: '0' })
  t.after(async () => {
    await app.end('SIGTERM')
    await rm(data, { recursive: true, force: true })
  })
  return app.url
}

export const png = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=',
  'base64',
)

export interface VisitorsFiles {
  readonly photo: Buffer
  readonly certificates: readonly string[]
}

function formOf(name: string, { photo, certificates }: VisitorsFiles): FormData {
  const form = new FormData()
  form.set('user[name]', name)
  form.set('user[photo]', new File([new Uint8Array(photo)], 'ada.png', { type: 'image/png' }))
  for (const text of certificates)
    form.append('user[certificates][]', new File([text], 'é.pdf', { type: 'application/pdf' }))
  return form
}

/** Sends the form, as a browser does. */
export async function save(url: string, name: string, files: VisitorsFiles): Promise<void> {
  const saved = await fetch(`${url}/users`, {
    method: 'POST',
    body: formOf(name, files),
    redirect: 'manual',
  })
  assert.deepEqual([saved.status, saved.headers.get('location')], [303, '/'], await saved.text())
}

/** The addresses of the files that the page shows for a user. */
async function shown(
  url: string,
  name: string,
): Promise<{ photo: string; certificates: string[] }> {
  const html = await (await fetch(url)).text()
  const item =
    [...html.matchAll(/<li\b.*?<\/li>/gs)]
      .map(([text]) => text)
      .find((text) => text.includes(name)) ?? ''
  return {
    photo: /<img[^>]* src="([^"]+)"/.exec(item)?.[1] ?? '',
    certificates: [...item.matchAll(/<a[^>]* href="([^"]+)"/g)].map(([, href = '']) => href),
  }
}

const download = async (url: string): Promise<Buffer> =>
  Buffer.from(await (await fetch(url)).arrayBuffer())

/** Waits until all of a user's files are attached, each once, and compares their bytes. */
export async function stored(url: string, name: string, files: VisitorsFiles): Promise<void> {
  for (const until = performance.now() + 30_000; ; await delay(20)) {
    const { photo, certificates } = await shown(url, name)
    assert.ok(
      certificates.length <= files.certificates.length,
      `${name} has ${certificates.length} certificates: ${certificates}`,
    )
    if (
      certificates.length === files.certificates.length &&
      [photo, ...certificates].every((path) => path.includes('/blobs/'))
    ) {
      assert.deepEqual(await download(url + photo), files.photo)
      const texts = await Promise.all(
        certificates.map(async (path) => String(await download(url + path))),
      )
      assert.ok(
        texts.toSorted().join() === files.certificates.toSorted().join(),
        `the certificates of ${name} are not what was sent`,
      )
      return
    }
    assert.ok(
      performance.now() < until,
      `after 30 s the page shows of ${name}: ${[photo, ...certificates]}`,
    )
  }
}

/**
 * A form with files is saved, they are seen at once and attached later; one with a wrong file is
 * refused.
 */
export async function signUp(url: string): Promise<void> {
  const files = { photo: png, certificates: ['%PDF-1.4'] }
  await save(url, 'Ada', files)
  const { photo, certificates } = await shown(url, 'Ada')
  assert.deepEqual(await download(url + photo), png)
  assert.equal(certificates.length, 1)
  // The worker is in the process.
  await stored(url, 'Ada', files)
  const form = formOf('Nobody', files)
  form.set('user[photo]', new File(['text'], 'no.txt'))
  const refused = await fetch(`${url}/users`, { method: 'POST', body: form })
  assert.equal(refused.status, 415)
  assert.match(
    await refused.text(),
    /no\.txt is of a type that is not accepted here\. Accepted: images\./,
  )
  assert.doesNotMatch(await (await fetch(url)).text(), /Nobody/)
}
