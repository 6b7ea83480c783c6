// The example of Next.js, built and started. It is heavy: its packages are its own (`npm run proof:next` installs them).
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { signUp, started } from './support/example-app.ts'

const app = join(import.meta.dirname, '../examples/next')
const next = join(app, 'node_modules/next/dist/bin/next')

test('the example of Next.js saves a form with files, shows and stores them', async (t) => {
  if (!existsSync(next)) return t.skip('Next.js is not installed in examples/next: npm run proof:next')
  // As it would be installed: a link would lead the bundler out of its folder.
  const installed = join(app, 'node_modules/activestorage-delayed')
  await rm(installed, { recursive: true, force: true })
  for (const part of ['dist', 'package.json']) await cp(part, join(installed, part), { recursive: true })
  for (const name of ['busboy', 'streamsearch', 'kysely', 'file-type', 'mime', '@remix-run/node-fetch-server'])
    await cp(join('node_modules', name), join(app, 'node_modules', name), { recursive: true, force: false, errorOnExist: false })
  await promisify(execFile)(process.execPath, [next, 'build'], { cwd: app, env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1' } })
  await signUp(await started(t, [next, 'start', '--port', '0'], app))
})
