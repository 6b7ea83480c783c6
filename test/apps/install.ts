// An app in a folder of its own, with its packages from the registry and this one as it is
// published.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { appEnv } from '../support/example-app.ts'

const tarball = process.env['TEST_PACKAGE']

export interface InstalledApp {
  readonly folder: string
  /** Runs a script of its package.json, where it has it. */
  run(script: string, env?: Readonly<Record<string, string>>): Promise<void>
}

export async function install(t: TestContext, name: string): Promise<InstalledApp> {
  assert.ok(tarball, 'TEST_PACKAGE is the package to install: npm run test:apps makes it')
  const folder = await mkdtemp(join(tmpdir(), `app-${name}-`))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const made = new Set([
    'node_modules',
    'data',
    '.next',
    'build',
    'dist',
    'generated',
    'package-lock.json',
  ])
  await cp(join('examples/apps', name), folder, {
    recursive: true,
    filter: (path) => !made.has(basename(path)),
  })
  const file = join(folder, 'package.json')
  const manifest = JSON.parse(await readFile(file, 'utf8')) as {
    dependencies: Record<string, string>
  }
  manifest.dependencies['activestorage-delayed'] = `file:${tarball}`
  await writeFile(file, JSON.stringify(manifest, null, 2))
  const npm = async (
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<void> => {
    const options = { cwd: folder, env: { ...appEnv, ...env }, maxBuffer: 1e8 }
    await promisify(execFile)('npm', args, options).catch((error: Error & { stdout: string }) => {
      throw new Error(`npm ${args.join(' ')} of ${name}: ${error.message}\n${error.stdout}`)
    })
  }
  await npm(['install', '--prefer-offline', '--no-audit', '--no-fund', '--no-package-lock'])
  return { folder, run: (script, env) => npm(['run', script, '--if-present'], env) }
}
