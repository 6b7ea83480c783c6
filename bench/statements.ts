// SQL statements per submission, direct attach, worker run and purge, without begin and commit.
// `node bench/statements.ts [--list]` also prints each statement.
import { parseArgs } from 'node:util'
import { createActiveStorage, hasManyAttached, hasOneAttached } from '../src/index.ts'
import { memory } from '../src/services/memory.ts'
import { kinds, closeDatabases } from '../test/support/databases.ts'
import { onEachStatement } from '../test/support/statements.ts'
import { report, type Row } from './table.ts'

const { values } = parseArgs({ options: { list: { type: 'boolean', default: false } } })
const rows: Row[] = []
for (const kind of kinds) {
  const made = await kind.create()
  if (made === null) continue
  const statements: string[] = []
  onEachStatement(made.database, (sql, run) => {
    statements.push(sql)
    return run()
  })
  const storage = createActiveStorage({
    database: made.database,
    services: { memory: memory() },
    models: { User: { photo: hasOneAttached(), documents: hasManyAttached() } },
    secretKeyBase: 'bench',
    logger: false,
  })
  await storage.migrate()
  let id = 0
  const next = () => storage.record('User', (id += 1))
  const file = (filename = 'photo.txt') => new File(['photo'], filename)
  const attachable = () => storage.stage(file(), { for: 'User.photo' })
  const count = async (step: string, run: () => Promise<unknown>): Promise<void> => {
    statements.length = 0
    await run()
    rows.push({ database: kind.name, step, statements: statements.length })
    if (values.list) console.log([`\n${kind.name}: ${step}`, ...statements].join('\n'))
  }

  // Opens the storage and looks once at what later calls remember.
  await next().photo.attachLater(file())
  await storage.drain({ throwOnError: true })
  await next().photo.attach(file())

  const staged = await attachable()
  const { signedId } = await attachable()
  const direct = await attachable()
  await count('stage', attachable)
  await count('attachLater: one file from bytes', () => next().photo.attachLater(file()))
  await count('worker: until that file is attached', () => storage.drain({ throwOnError: true }))
  await count('attachLater: one staged file', () => next().photo.attachLater(staged))
  await count('attachLater: one signed id', () => next().photo.attachLater(signedId))
  await storage.drain({ throwOnError: true })
  const both = { photo: await attachable(), documents: [await attachable(), await attachable()] }
  await count('attachLater: a form of two attachments, three staged files', () =>
    next().attachLater(both),
  )
  await count('worker: until that form is attached', () => storage.drain({ throwOnError: true }))
  await count('attach: one file from bytes', () => next().photo.attach(file()))
  await count('attach: one staged file', () => next().photo.attach(direct))
  await count('attach: another file in its place', () =>
    storage.record('User', id).photo.attach(file()),
  )
  await count('purgeAllLater: one attached file', () => storage.record('User', id).purgeAllLater())
  await count('purgeAllLater: no file', () => next().purgeAllLater())
  await storage.close()
  await made.close()
}
await closeDatabases()
report('statements', rows)
