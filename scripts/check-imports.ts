// Data flows one way: a folder may import from itself and from folders to its right, and only users import adapters.
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

const folders = [
  ['nestjs'],
  ['index', 'adapters', 'testing', 'cli', 'dashboard'],
  ['storage'],
  ['background'],
  ['configuration'],
  ['orm', 'http'],
  ['attached'],
  ['gem'],
  ['delayed'],
  ['representations'],
  ['staging', 'attachments'],
  ['blobs'],
  ['jobs'],
  ['images', 'services', 'database', 'rails'],
  ['client', 'diagnostics', 'options', 'async', 'errors'],
]
const adapters =
  /^src\/(services\/(disk|memory|s3)|database\/(sqlite|postgres|mysql)|images\/sharp|http\/adapters\/\w+|orm\/[\w-]+\/index)\.ts$/
const rankOf = (path: string): number =>
  folders.findIndex((names) => names.includes(path.split('/')[1]?.replace(/\.ts$/, '') ?? ''))

const faults: string[] = []
for (const file of globSync('src/**/*.ts').map((path) => normalize(path))) {
  if (file.endsWith('.test.ts')) continue
  if (rankOf(file) < 0) faults.push(`${file}: no folder of this name is known`)
  // What runs in a browser takes nothing from what runs on a server, nor the other way round.
  const isClient = file.startsWith('src/client/')
  if (isClient && /^(?:import|export) .* from '[^.]/m.test(readFileSync(file, 'utf8')))
    faults.push(`${file} imports a package`)
  for (const [, target = ''] of readFileSync(file, 'utf8').matchAll(/from '(\.[^']+)'/g)) {
    const path = normalize(join(dirname(file), target))
    if (path.startsWith('src/client/') !== isClient)
      faults.push(`${file} imports ${path}: one of them runs in a browser`)
    if (rankOf(path) < rankOf(file)) faults.push(`${file} imports ${path}, which is to its left`)
    // Where an ORM's connection to SQLite is one handle, its binding is that handle's; and it is several files.
    const isOwn =
      file.startsWith('src/orm/') &&
      (path === 'src/database/sqlite.ts' || dirname(path) === dirname(file))
    if (adapters.test(path) && !isOwn && !file.startsWith('src/testing'))
      faults.push(`${file} imports the adapter ${path}`)
  }
}
for (const fault of faults) console.error(fault)
console.log(
  faults.length === 0 ? 'Imports go one way.' : `${faults.length} imports go the wrong way.`,
)
process.exitCode = faults.length === 0 ? 0 : 1
