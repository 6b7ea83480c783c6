// Checks that each folder imports only from itself and from folders to its right, and that nothing
// imports an adapter.
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

const folders = [
  ['nestjs'],
  ['index', 'adapters', 'testing', 'cli'],
  ['storage'],
  ['background'],
  ['configuration'],
  ['orm', 'http'],
  ['attached'],
  ['gem'],
  ['delayed'],
  ['staging', 'attachments'],
  ['blobs'],
  ['jobs'],
  ['images', 'services', 'database', 'rails'],
  ['client', 'diagnostics', 'options', 'async', 'errors'],
]
/**
 * Exports that are entry points of their own. All other exports except the root are adapters, which
 * users choose.
 */
const entryPoints = ['.', './adapters', './cli', './client', './nestjs', './testing']
const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  exports: Record<string, string | { default: string }>
}
const adapters = new Set(
  Object.entries(exports).flatMap(([name, target]) =>
    typeof target === 'string' || entryPoints.includes(name)
      ? []
      : [target.default.replace('./dist/', 'src/').replace(/\.js$/, '.ts')],
  ),
)
/** Rows and their statements. `http` reads them through `attached`, and may import their types. */
const rows =
  /^src\/(?:staging|attachments|delayed)\/|^src\/blobs\/(?:blob-rows|object-intents)\.ts$/
const rankOf = (path: string): number =>
  folders.findIndex((names) => names.includes(path.split('/')[1]?.replace(/\.ts$/, '') ?? ''))

function isTypeImport(file: string, target: string): boolean {
  const statements = readFileSync(file, 'utf8').split(/^(?=import |export )/m)
  return statements
    .filter((statement) => statement.includes(`from '${target}'`))
    .every((statement) => /^(?:import|export) type /.test(statement))
}

const faults: string[] = []
for (const file of globSync('src/**/*.ts').map((path) => normalize(path))) {
  if (file.endsWith('.test.ts')) continue
  if (rankOf(file) < 0) faults.push(`${file}: no folder of this name is known`)
  // Code for browsers and code for servers do not import each other.
  const isClient = file.startsWith('src/client/')
  if (isClient && /^(?:import|export) .* from '[^.]/m.test(readFileSync(file, 'utf8')))
    faults.push(`${file} imports a package`)
  for (const [, target = ''] of readFileSync(file, 'utf8').matchAll(/from '(\.[^']+)'/g)) {
    const path = normalize(join(dirname(file), target))
    if (path.startsWith('src/client/') !== isClient)
      faults.push(`${file} imports ${path}: one of them runs in a browser`)
    if (rankOf(path) < rankOf(file)) faults.push(`${file} imports ${path}, which is to its left`)
    // An ORM's folder has several files, and may build on the SQLite adapter when the ORM exposes
    // its handle.
    const isOwn =
      file.startsWith('src/orm/') &&
      (path === 'src/database/sqlite.ts' || dirname(path) === dirname(file))
    if (file.startsWith('src/http/') && rows.test(path) && !isTypeImport(file, target))
      faults.push(`${file} imports ${path}: read it through src/attached`)
    if (adapters.has(path) && !isOwn && !file.startsWith('src/testing'))
      faults.push(`${file} imports the adapter ${path}`)
  }
}
for (const fault of faults) console.error(fault)
console.log(
  faults.length === 0 ? 'Imports go one way.' : `${faults.length} imports go the wrong way.`,
)
process.exitCode = faults.length === 0 ? 0 : 1
