// Checks the package as a clean clone publishes it: every subpath can be imported and required, and
// its types resolve.
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const { name, exports } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  name: string
  exports: Record<string, unknown>
}
/** Kilobytes. A jump means that something was packed which nobody imports. */
const MAX_PACKED_KB = 1100
const folder = mkdtempSync(join(tmpdir(), 'package-'))
try {
  const clone = join(folder, 'clone')
  const listed = execFileSync(
    'git',
    ['ls-files', '--cached', '--others', '--exclude-standard', '-z'],
    { encoding: 'utf8' },
  )
  for (const file of listed.split('\0'))
    if (existsSync(file) && file !== '') cpSync(file, join(clone, file))
  symlinkSync(resolve('node_modules'), join(clone, 'node_modules'))
  execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], {
    cwd: clone,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const tarball = join(folder, readdirSync(folder).find((file) => file.endsWith('.tgz')) ?? '')
  const packedKb = Math.round(statSync(tarball).size / 1024)
  if (packedKb > MAX_PACKED_KB)
    throw new Error(`The package has ${packedKb} KB; the limit is ${MAX_PACKED_KB} KB.`)
  console.log(`The package has ${packedKb} KB packed.`)
  const modules = join(folder, 'node_modules')
  mkdirSync(modules)
  for (const entry of readdirSync('node_modules'))
    if (!entry.startsWith('.') && entry !== name)
      symlinkSync(resolve('node_modules', entry), join(modules, entry))
  mkdirSync(join(modules, name))
  execFileSync('tar', ['-xzf', tarball, '-C', join(modules, name), '--strip-components=1'])
  const require = createRequire(join(folder, 'app.cjs'))
  for (const subpath of Object.keys(exports)) {
    const specifier = join(name, subpath)
    const resolved = require.resolve(specifier)
    const required: unknown = require(specifier)
    if (subpath === './package.json') continue
    const imported = (await import(resolved)) as object
    if (Object.keys(imported).length === 0 || Object.keys(required as object).length === 0)
      throw new Error(`${specifier} exports nothing`)
  }
  execFileSync('npx', ['publint', tarball, '--strict'], { stdio: 'inherit' })
  execFileSync('npx', ['attw', tarball, '--profile', 'esm-only'], { stdio: 'inherit' })
  console.log(`Every subpath of ${name} can be imported and required.`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
