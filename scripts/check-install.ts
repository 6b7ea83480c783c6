// `npm ci` builds nothing, and every install script of a package was looked at. `--repair` restores
// what npm install forgets.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

interface Manifest {
  readonly allowScripts?: Readonly<Record<string, boolean>>
  readonly gypfile?: boolean
  readonly scripts?: Readonly<Record<string, string>>
}
interface Locked {
  readonly gypfile?: boolean
  readonly hasInstallScript?: boolean
}
const read = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'))

const { allowScripts = {} } = read('package.json') as Manifest
const { packages } = read('package-lock.json') as { packages: Readonly<Record<string, Locked>> }

/**
 * npm calls node-gyp for every package that has a binding.gyp, no install script, and no
 * `gypfile: false` in the lock file.
 */
function problemOf(path: string, { gypfile, hasInstallScript }: Locked): string | null {
  const name = path.replace(/^.*node_modules\//, '')
  if (hasInstallScript === true && allowScripts[name] === undefined)
    return `${name} has an install script: say in "allowScripts" of package.json whether it is needed.`
  if (gypfile === false || !existsSync(join(path, 'binding.gyp'))) return null
  const { gypfile: declared, scripts = {} } = read(join(path, 'package.json')) as Manifest
  if (scripts['install'] !== undefined || scripts['preinstall'] !== undefined) return null
  return declared === false
    ? `${name} ships its binaries: add "gypfile": false to "${path}" in package-lock.json (npm install forgets it), or npm ci needs a compiler.`
    : `${name} is built by npm ci, which then needs a compiler: use a package that ships its binaries.`
}

if (process.argv.includes('--repair')) {
  const lock = read('package-lock.json') as { packages: Record<string, Record<string, unknown>> }
  for (const [path, locked] of Object.entries(lock.packages))
    if (path !== '' && problemOf(path, locked)?.includes('ships its binaries: add') === true)
      lock.packages[path] = { gypfile: false, ...locked }
  writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`)
  process.exit(0)
}
const problems = Object.entries(packages).flatMap(([path, locked]) =>
  path === '' ? [] : (problemOf(path, locked) ?? []),
)
for (const problem of problems) console.error(problem)
if (problems.length > 0) process.exit(1)
console.log(`npm ci builds none of ${Object.keys(packages).length - 1} packages.`)
