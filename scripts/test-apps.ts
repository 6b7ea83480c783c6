// The example apps, each with packages of its own and with this one as it is published; arguments name single apps.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folder = mkdtempSync(join(tmpdir(), 'package-'))
try {
  execFileSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' })
  execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], { stdio: ['ignore', 'ignore', 'inherit'] })
  const tarball = join(folder, readdirSync(folder).find((file) => file.endsWith('.tgz')) ?? '')
  const { status } = spawnSync(process.execPath, ['--test', 'test/apps/apps.ts'], {
    stdio: 'inherit',
    env: { ...process.env, TEST_PACKAGE: tarball, TEST_APPS: process.argv.slice(2).join(' ') },
  })
  process.exitCode = status ?? 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
