// Reading forms with files: parseForm into a database, beside multer to a disk and busboy to
// nothing, each in a process of its own. `node bench/form.ts [--rounds 5]`
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { postgresDatabase, closeDatabases } from '../test/support/databases.ts'
import { bytesOf, middle, ratio, report, type Row } from './table.ts'
import { start, type Child } from './web/child.ts'
import { submit, type Part } from './web/form-client.ts'
import { openStorage } from './web/storage.ts'
import { isTold, watch } from './web/usage.ts'

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } })
const LARGE = 256
const FORMS = 100
const AT_ONCE = 4
const part = (size: number): Part => ({ size, bytes: bytesOf(size) })
const large = [part(LARGE * 1024 ** 2)]
const small = Array.from({ length: 10 }, () => part(10 * 1024))
if (!isTold) console.log('form: no memory and no processor time, for this is not Linux.')

const scratch = await mkdtemp(join(tmpdir(), 'bench-'))
const server = join(import.meta.dirname, 'web/form-server.ts')
const beside = await postgresDatabase()
const contenders: {
  readonly name: string
  readonly child: Child
  readonly storage?: ReturnType<typeof openStorage>
}[] = []
for (const [name, kind] of Object.entries({
  'busboy to nothing': 'busboy',
  'multer to a disk': 'multer',
}))
  contenders.push({ name, child: await start(server, [kind, join(scratch, kind)]) })
for (const [database, url] of Object.entries({
  SQLite: join(scratch, 'app.db'),
  PostgreSQL: beside?.url,
})) {
  if (url === undefined) continue
  const storage = openStorage(url, join(scratch, 'files'))
  await storage.migrate()
  contenders.push({
    name: `parseForm, ${database}`,
    child: await start(server, ['parseForm', join(scratch, 'files'), url]),
    storage,
  })
}

interface Taken {
  readonly seconds: number
  readonly peak: number
  readonly cpu: number
  readonly p99: number
  readonly max: number
}
async function taken(
  { child }: (typeof contenders)[number],
  run: () => Promise<unknown>,
): Promise<Taken> {
  const told = async (): Promise<{ p99: number; max: number }> => {
    child.process.send('')
    return (await once(child.process, 'message'))[0] as { p99: number; max: number }
  }
  await told()
  const used = watch(child.pid)
  const started = performance.now()
  await run()
  return { seconds: (performance.now() - started) / 1000, ...used.end(), ...(await told()) }
}

const measured = contenders.map(() => ({ large: [] as Taken[], small: [] as Taken[] }))
for (let round = 0; round <= Number(values.rounds); round += 1)
  for (const [index, contender] of contenders.entries()) {
    const { url } = contender.child
    const ofLarge = await taken(contender, () => submit(url, large))
    const ofSmall = await taken(contender, async () => {
      let left = FORMS
      const lane = async (): Promise<void> => {
        while ((left -= 1) >= 0) await submit(url, small)
      }
      await Promise.all(Array.from({ length: AT_ONCE }, lane))
    })
    // The first round is for warming up.
    if (round > 0) measured[index]?.large.push(ofLarge)
    if (round > 0) measured[index]?.small.push(ofSmall)
    await contender.storage?.sweep()
    await rm(join(scratch, 'multer'), { recursive: true, force: true })
    await mkdir(join(scratch, 'multer'))
  }

const of = (all: readonly Taken[] | undefined, what: keyof Taken): number =>
  middle((all ?? []).map((each) => each[what]))
const [floor, peer] = measured
const table = (which: 'large' | 'small', columns: (all: readonly Taken[]) => Row): Row[] =>
  contenders.map(({ name }, index) => {
    const all = measured[index]?.[which] ?? []
    return {
      'read by': name,
      ...columns(all),
      '÷ busboy to nothing': ratio(of(floor?.[which], 'seconds'), of(all, 'seconds')),
      '÷ multer': ratio(of(peer?.[which], 'seconds'), of(all, 'seconds')),
      'CPU s': Number(of(all, 'cpu').toFixed(2)),
      'peak MB': of(all, 'peak'),
      'loop held p99 ms': Number(of(all, 'p99').toFixed(1)),
      'loop held max ms': Number(of(all, 'max').toFixed(0)),
    }
  })
report(
  `form of ${LARGE} MB`,
  table('large', (all) => ({ 'MB/s': Math.round(LARGE / of(all, 'seconds')) })),
)
report(
  `form of 10 files of 10 KB, ${FORMS} of them, ${AT_ONCE} at once`,
  table('small', (all) => ({ 'forms/s': Math.round(FORMS / of(all, 'seconds')) })),
)

for (const { child, storage } of contenders) {
  child.process.disconnect()
  await storage?.close()
}
await beside?.close()
await closeDatabases()
await rm(scratch, { recursive: true, force: true })
