// Every ```ts block of the README and docs, and every @example of a doc comment, compiles. What
// they take for granted is declared in test/types/examples.d.ts.
import { execFileSync } from 'node:child_process'
import { copyFileSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

interface Example {
  readonly place: string
  readonly code: string
}

const lineOf = (text: string, index: number): number => text.slice(0, index).split('\n').length

function* examplesOf(file: string): Generator<Example> {
  const text = readFileSync(file, 'utf8')
  if (file.endsWith('.md'))
    for (const { 1: code = '', index } of text.matchAll(/```ts\n(.*?)```/gs))
      yield { place: `${file}:${lineOf(text, index)}`, code }
  else
    for (const { 1: code = '', index } of text.matchAll(/\* @example\n(.*?)\*\//gs))
      yield { place: `${file}:${lineOf(text, index)}`, code: code.replaceAll(/^ *\* ?/gm, '') }
}

const folder = '.examples'
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder)
for (const name of ['examples', 'packages'])
  copyFileSync(`test/types/${name}.d.ts`, `${folder}/${name}.d.ts`)
for (const place of ['', '/src']) {
  mkdirSync(folder + place, { recursive: true })
  writeFileSync(
    `${folder}${place}/storage.ts`,
    'const theirs = storage\nexport { theirs as storage }\n',
  )
}
// The examples use the tests' client in place of the one that `prisma generate` makes in an app.
mkdirSync(`${folder}/generated/prisma`, { recursive: true })
writeFileSync(
  `${folder}/generated/prisma/client.ts`,
  "export * from '../../../test/.prisma/sqlite/client/client.ts'\n",
)
const places = new Map<string, string>()
for (const file of [
  'README.md',
  ...globSync(['docs/*.md', 'docs/frameworks/*.md', 'docs/orms/*.md']).toSorted(),
  ...globSync('src/**/*.ts').toSorted(),
])
  for (const { place, code } of examplesOf(file)) {
    const name = `${places.size + 1}.ts`
    places.set(name, place)
    writeFileSync(`${folder}/${name}`, `${code}\nexport {}\n`)
  }
const files = {
  extends: '../tsconfig.json',
  compilerOptions: { noUnusedLocals: false, paths: pathsFromHere() },
  include: ['*.ts'],
}
writeFileSync(`${folder}/tsconfig.json`, JSON.stringify(files))
try {
  execFileSync(
    process.execPath,
    ['node_modules/typescript/bin/tsc', '-p', folder, '--pretty', 'false'],
    { encoding: 'utf8' },
  )
  rmSync(folder, { recursive: true })
  console.log(`${places.size} examples compile.`)
} catch (error) {
  const { stdout } = error as { stdout: string }
  console.error(
    stdout.replaceAll(
      /(?:\.examples\/)?(\d+\.ts)\(/g,
      (_match, name: string) => `${places.get(name)}, in the example (`,
    ),
  )
  process.exitCode = 1
}

function pathsFromHere(): Record<string, string[]> {
  const { compilerOptions } = JSON.parse(readFileSync('tsconfig.json', 'utf8')) as {
    compilerOptions: { paths: Record<string, string[]> }
  }
  return Object.fromEntries(
    Object.entries(compilerOptions.paths).map(([name, targets]) => [
      name,
      targets.map((target) => target.replace('./', '../')),
    ]),
  )
}
