// Writes docs/reference from the doc comments of what is exported; `--check` fails where it is not
// up to date, or where something has no comment. Reads what `npm run build` made.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Extractor, ExtractorConfig } from '@microsoft/api-extractor'
import { errorCodesPage } from './error-codes.ts'

interface Item {
  readonly kind: string
  readonly name?: string
  readonly docComment?: string
  readonly canonicalReference?: string
  readonly excerptTokens?: readonly { readonly text: string }[]
  readonly members?: readonly Item[]
}

const folder = 'docs/reference'
const check = process.argv.includes('--check')
const { name: packageName, exports } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  name: string
  exports: Record<string, { types?: string }>
}
const temporary = mkdtempSync(join(tmpdir(), 'reference-'))
const undocumented: string[] = []
const pages = new Map<string, string>()
/** Names that a page has. The first page is that of the main entry point. */
const told = new Set<string>()
try {
  const list: string[] = []
  for (const [subpath, { types }] of Object.entries(exports)) {
    if (types === undefined) continue
    const specifier = join(packageName, subpath)
    const file = subpath === '.' ? 'index.md' : `${subpath.slice(2).replaceAll('/', '-')}.md`
    const items = itemsOf(types).toSorted((a, b) => titleOf(a).localeCompare(titleOf(b)))
    const exported = items.filter(isExported)
    const parts = partsOf(exported, items)
    const sections = exported.map((item) => section(item, specifier))
    if (parts.length > 0)
      sections.push(
        '# Their parts',
        'Not exported by themselves.',
        ...parts.map((item) => section(item)),
      )
    pages.set(file, `# ${specifier}\n\n${sections.join('\n\n')}\n`)
    list.push(
      `- [${specifier}](${file}): ${exported.map((item) => `\`${titleOf(item)}\``).join(', ')}`,
    )
    for (const item of [...exported, ...parts]) told.add(titleOf(item))
  }
  pages.set('error-codes.md', errorCodesPage())
  pages.set(
    'README.md',
    `# Reference\n\nWritten by \`npm run docs\` from the comments in the code.\n\n${list.join('\n')}\n- [Error codes](error-codes.md)\n`,
  )
} finally {
  rmSync(temporary, { recursive: true })
}

if (check) {
  const stale = [...pages].flatMap(([file, text]) =>
    read(join(folder, file)) === text ? [] : [file],
  )
  for (const name of undocumented) console.error(`${name} has no doc comment.`)
  if (stale.length > 0)
    console.error(
      `${folder} is not up to date (${stale.join(', ')}): npm run build && npm run docs.`,
    )
  if (stale.length > 0 || undocumented.length > 0) process.exitCode = 1
  else console.log('The reference is up to date, and everything in it has a comment.')
} else {
  mkdirSync(folder, { recursive: true })
  for (const old of readdirSync(folder)) if (!pages.has(old)) rmSync(join(folder, old))
  for (const [file, text] of pages) writeFileSync(join(folder, file), text)
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

/** What an entry point exports. */
function itemsOf(types: string): readonly Item[] {
  const apiJsonFilePath = join(temporary, 'api.json')
  const config = ExtractorConfig.prepare({
    configObjectFullPath: undefined,
    packageJsonFullPath: resolve('package.json'),
    configObject: {
      projectFolder: process.cwd(),
      mainEntryPointFilePath: resolve(types),
      compiler: {
        overrideTsconfig: {
          compilerOptions: {
            target: 'es2024',
            lib: ['es2024', 'esnext.disposable', 'dom'],
            module: 'nodenext',
            types: ['node'],
            skipLibCheck: true,
          },
          files: [resolve(types)],
        },
      },
      docModel: { enabled: true, apiJsonFilePath, includeForgottenExports: true },
      apiReport: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
    },
  })
  const { succeeded } = Extractor.invoke(config, {
    localBuild: true,
    messageCallback(message) {
      if (message.category !== 'Compiler') message.handled = true
    },
  })
  if (!succeeded) throw new Error(`${types} could not be read.`)
  const { members } = JSON.parse(readFileSync(apiJsonFilePath, 'utf8')) as {
    members: [{ members: Item[] }]
  }
  return members[0].members
}

/**
 * Returns the items that the exported ones name, and those that these name: all that are neither
 * exported nor on an earlier page.
 */
function partsOf(exported: readonly Item[], items: readonly Item[]): readonly Item[] {
  const parts = new Map<string, Item>()
  const others = items.filter(
    (item) => !isExported(item) && isType(item) && !told.has(titleOf(item)),
  )
  const namesOf = (item: Item): Set<string> =>
    new Set(
      declarationOf(item)
        .replaceAll(/\/\*\*.*?\*\/|'[^'\n]*'/gs, '')
        .match(/\w+/g),
    )
  const follow = (item: Item): void => {
    const names = namesOf(item)
    for (const other of others)
      if (!parts.has(titleOf(other)) && names.has(titleOf(other))) {
        parts.set(titleOf(other), other)
        follow(other)
      }
  }
  for (const item of exported) follow(item)
  return others.filter((item) => parts.get(titleOf(item)) === item)
}

function isExported({ canonicalReference = '' }: Item): boolean {
  return !canonicalReference.includes('!~')
}

function isType({ kind }: Item): boolean {
  return kind === 'Interface' || kind === 'TypeAlias'
}

/** Names that the global scope has too come with a number. */
function titleOf({ name = '' }: Item): string {
  return name.replace(/_\d$/, '')
}

/** `specifier`: of an entry point that exports it, and so must say what it is. */
function section(item: Item, specifier?: string): string {
  const { text, examples } = commentOf(item)
  if (text === '' && specifier !== undefined) undocumented.push(`${titleOf(item)} of ${specifier}`)
  return [
    `## ${titleOf(item)}`,
    text,
    code(declarationOf(item)),
    ...examples.map((example) => `For example:\n\n${code(example)}`),
  ]
    .filter((part) => part !== '')
    .join('\n\n')
}

function code(text: string): string {
  return `\`\`\`typescript\n${text}\n\`\`\``
}
function excerptOf({ excerptTokens = [] }: Item): string {
  return excerptTokens
    .map(({ text }) => text)
    .join('')
    .replaceAll(/\b(\w+)_\d\b/g, '$1')
    .replace(/^export (declare )?/, '')
    .replaceAll(/\n {4}/g, '\n')
    .trim()
}

/** Interfaces and classes with their members, and what is said of each. */
function declarationOf(item: Item): string {
  const members = (item.members ?? []).filter(
    ({ docComment = '' }) => !docComment.includes('@internal'),
  )
  if (members.length === 0 && item.kind !== 'Interface' && item.kind !== 'Class')
    return excerptOf(item)
  const lines = members.flatMap((member) => {
    const { text } = commentOf(member)
    return [...(text === '' ? [] : [`/** ${text.replaceAll('\n', ' ')} */`]), excerptOf(member)]
  })
  return `${excerptOf(item)} {\n${lines.map((line) => line.replaceAll(/^/gm, '  ')).join('\n')}\n}`
}

function commentOf({ docComment = '' }: Item): { text: string; examples: string[] } {
  const plain = docComment
    .replace(/^\/\*\*/, '')
    .replace(/\*\/\s*$/, '')
    .split('\n')
    .map((line) => line.replace(/^\s*\* ?/, ''))
    .join('\n')
  const [text = '', ...examples] = plain.split('@example')
  return { text: text.trim(), examples: examples.map((example) => example.trim()) }
}
