// The example apps, each with packages of its own and with this one as it is published, and this
// one beside older packages; arguments name single apps.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folder = mkdtempSync(join(tmpdir(), 'package-'))
try {
  execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const tarball = join(folder, readdirSync(folder).find((file) => file.endsWith('.tgz')) ?? '')
  const named = process.argv.slice(2)
  const files = ['test/apps/apps.ts', ...(named.length > 0 ? [] : ['test/apps/beside-older.ts'])]
  const { status } = spawnSync(process.execPath, ['--test', ...files], {
    stdio: 'inherit',
    env: { ...process.env, TEST_PACKAGE: tarball, TEST_APPS: named.join(' ') },
  })
  process.exitCode = status ?? 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
