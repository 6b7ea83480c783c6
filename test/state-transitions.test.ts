import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { createTableNames, type UploadState } from '../src/database/schema.ts'
import { openStore } from '../src/database/store.ts'
import type { Transition } from '../src/database/transitions.ts'
import * as uploads from '../src/delayed/upload-transitions.ts'
import { hasOneAttached } from '../src/index.ts'
import * as jobs from '../src/jobs/job-transitions.ts'
import * as files from '../src/staging/file-transitions.ts'
import { closeDatabases, kinds } from './support/databases.ts'
import { fresh, text } from './support/storage.ts'

after(closeDatabases)

const page = readFileSync('docs/how-it-works.md', 'utf8')

/** The edges of a page's diagram under a heading, as `from --> to: transition`. */
function readDiagram(heading: string): string[] {
  const diagram = page.split(heading)[1]?.split('```')[1] ?? ''
  return diagram.split('\n').flatMap((line) => {
    const [, from = '', to = '', labels = ''] = /^\s*(\S+) --> (\S+): (.+)$/.exec(line) ?? []
    return labels
      .split(', ')
      .flatMap((label) => (label === '' ? [] : `${from} --> ${to}: ${label}`))
  })
}

function listEdges(transitions: Readonly<Record<string, Transition<string>>>): string[] {
  return Object.entries(transitions).flatMap(([name, { from, to }]) =>
    (from.length === 0 ? ['[*]'] : from).map((each) => `${each} --> ${to ?? '[*]'}: ${name}`),
  )
}

for (const [heading, module, transitions] of [
  ['### States of an upload', uploads, uploads.UPLOAD_TRANSITIONS],
  ['### States of a file', files, files.FILE_TRANSITIONS],
  ['### States of a job', jobs, jobs.JOB_TRANSITIONS],
] as const)
  test(`${heading.slice(4)}: the diagram, the table and the functions agree`, () => {
    assert.deepEqual(readDiagram(heading).toSorted(), listEdges(transitions).toSorted())
    const exported: Readonly<Record<string, unknown>> = { ...module }
    for (const name of Object.keys(transitions))
      assert.equal(typeof exported[name], 'function', name)
  })

/** Statements that write a state, or insert or delete a row, each in a few words. */
function listStateWrites(source: string): string[] {
  const builder = /\.(updateTable|insertInto|deleteFrom)\('(uploads|files|jobs)'\)/g
  const raw = /(update|insert into|delete from) \$\{sql\.table\('(?:uploads|files|jobs)'\)\}/g
  const built = [...source.matchAll(builder)].flatMap(({ 0: statement, 1: verb, index }) => {
    const values = /\.set\(\{([^]*?)\}\)/.exec(source.slice(index, index + 2_000))?.[1]
    const isUpdate = verb === 'updateTable'
    return isUpdate && !/\bstate\b\s*(?::|,|$)/.test(values ?? '') ? [] : [statement]
  })
  return [...built, ...[...source.matchAll(raw)].map(([statement]) => statement)]
}

test('only the modules of transitions write states of uploads, files and jobs', () => {
  const own = /-transitions\.ts$|^src[\\/]database[\\/]migrations/
  const found = globSync('src/**/*.ts')
    .filter((path) => !own.test(path))
    .flatMap((path) =>
      listStateWrites(readFileSync(path, 'utf8')).map((statement) => `${path}: ${statement}`),
    )
  assert.deepEqual(found, [])
})

test('a write of a state, and the insertion or deletion of a row, are found', () => {
  for (const statement of [
    "db.updateTable('uploads').set({ run_at: 0, state: 'failed' })",
    "db.updateTable('files').set({ state })",
    "db.deleteFrom('uploads')",
    "db.insertInto('jobs').values({ id: 'x' })",
    "sql`update ${sql.table('uploads')} set state = 1`",
  ])
    assert.equal(listStateWrites(statement).length, 1, statement)
  assert.deepEqual(listStateWrites("db.updateTable('uploads').set({ run_at: 0 })"), [])
})

for (const kind of kinds.filter(({ name }) => name !== 'MariaDB'))
  test(`${kind.name}: a claim takes no upload in another state than the table says`, async (t) => {
    const app = await fresh(t, kind, { User: { photo: hasOneAttached() } })
    if (app === null) return
    const store = await openStore(app.made.another(), createTableNames(), 'bigint')
    t.after(() => store.database.close())
    await app.storage.record('User', 1).photo.attachLater(text('x'))
    const claim = async (state: UploadState): Promise<number> => {
      await store.session.db.updateTable('uploads').set({ state }).execute()
      const candidates = sql`select id, run_at, 0 as blocked from ${sql.table('uploads')}`
      return (await uploads.claimRankedUploads(store.session, candidates, 1)).length
    }
    for (const state of ['failed', 'attached'] as const) assert.equal(await claim(state), 0, state)
    assert.equal(await claim('pending'), 1)
  })
