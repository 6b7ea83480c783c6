// Serving files through the handler, beside nginx, the package `send` and a bare stream, each in a
// process of its own that lives as long as the others.
// `node bench/serve.ts [--seconds 2] [--rounds 3]`
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { postgresDatabase, closeDatabases } from '../test/support/databases.ts'
import { bytesOf, middle, report, type Row } from './table.ts'
import { start, type Child } from './web/child.ts'
import { startNginx } from './web/nginx.ts'
import { openStorage } from './web/storage.ts'
import { isTold, watch } from './web/usage.ts'
import { hasWrk, wrk } from './web/wrk.ts'

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '2' }, rounds: { type: 'string', default: '3' } },
})
const [seconds, rounds] = [Number(values.seconds), Number(values.rounds)]
const KB = 1024
const SMALL = 64 * KB
const LARGE = 256 * KB ** 2
if (!hasWrk) {
  console.log('serve: skipped, for wrk is not here.')
  process.exit()
}
if (!isTold) console.log('serve: no memory and no processor time, for this is not Linux.')

interface Contender {
  readonly name: string
  readonly child: Child
  readonly small: string
  readonly large: string
}
const scratch = await mkdtemp(join(tmpdir(), 'bench-'))
const folder = join(scratch, 'files')
const server = join(import.meta.dirname, 'web/file-server.ts')
const beside = await postgresDatabase()
const contenders: Contender[] = []
const plain = { small: '', large: '' }
for (const [database, url] of Object.entries({
  SQLite: join(scratch, 'app.db'),
  PostgreSQL: beside?.url,
})) {
  if (url === undefined) continue
  const storage = openStorage(url, folder)
  await storage.migrate()
  const { files } = storage.record('User', 1)
  const file = (size: number) => ({
    io: bytesOf(size)(),
    filename: 'bench.bin',
    contentType: 'application/octet-stream',
  })
  await files.attach([file(SMALL), file(LARGE)])
  const [small, large] = await files.attachments()
  await storage.record('User', 2).files.attachLater([file(SMALL), file(LARGE)])
  const [staged] = await storage.record('User', 2).files.delayedUploads()
  if (small === undefined || large === undefined || staged === undefined)
    throw new Error('The files are not there.')
  const onDisk = (key: string): string => `/${key.slice(0, 2)}/${key.slice(2, 4)}/${key}`
  plain.small = onDisk(small.blob.key)
  plain.large = onDisk(large.blob.key)
  const paths = {
    proxy: [small.path({ proxy: true }), large.path({ proxy: true })],
    disk: [await small.url({ expiresIn: '1d' }), await large.url({ expiresIn: '1d' })],
    pending: staged.files.map((each) => each.path()),
  }
  const child = await start(server, ['handler', folder, url])
  for (const [route, [one = '', other = '']] of Object.entries(paths))
    contenders.push({ name: `${route}, ${database}`, child, small: one, large: other })
  await storage.close()
}
const nginx = await startNginx(folder, scratch)
if (nginx === null) console.log('serve: not beside nginx, which is not here.')
else contenders.unshift({ name: 'nginx', child: nginx, ...plain })
for (const kind of ['send', 'stream'] as const)
  contenders.push({
    name: kind === 'send' ? 'send' : 'a bare stream',
    child: await start(server, [kind, folder]),
    ...plain,
  })

const loads = {
  '64 KB, req/s': { unit: 'req/s', file: 'small', connections: 16, headers: () => ({}) },
  'not modified, req/s': {
    unit: 'req/s',
    file: 'small',
    connections: 16,
    headers: (etag: string) => ({ 'If-None-Match': etag }),
  },
  '1 KB of 256 MB, req/s': {
    unit: 'req/s',
    file: 'large',
    connections: 16,
    headers: () => ({ Range: 'bytes=134000000-134001023' }),
  },
  '256 MB, MB/s': { unit: 'MB/s', file: 'large', connections: 4, headers: () => ({}) },
  '255 MB of 256, MB/s': {
    unit: 'MB/s',
    file: 'large',
    connections: 4,
    headers: () => ({ Range: `bytes=${KB ** 2}-${LARGE - 1}` }),
  },
} as const
type Name = keyof typeof loads
const measured = contenders.map((contender) => ({
  contender,
  taken: [] as { name: Name; value: number; cpu: number; peak: number }[],
}))
for (let round = 0; round < rounds; round += 1)
  for (const [name, load] of Object.entries(loads))
    for (const { contender, taken } of measured) {
      const url = contender.child.url + contender[load.file]
      const first = await fetch(url, { method: 'HEAD' })
      const etag = first.headers.get('etag')
      if (load === loads['not modified, req/s'] && etag === null) continue
      const used = watch(contender.child.pid)
      const done = await wrk(url, {
        seconds,
        connections: load.connections,
        headers: load.headers(etag ?? ''),
      })
      const { cpu, peak } = used.end()
      const units = load.unit === 'req/s' ? done['req/s'] / 1000 : done['MB/s'] / 1024
      taken.push({ name: name as Name, value: done[load.unit], cpu: cpu / seconds / units, peak })
    }
const of = (index: number, name: Name, what: 'value' | 'cpu'): number | null => {
  const all =
    measured[index]?.taken.filter((each) => each.name === name).map((each) => each[what]) ?? []
  return all.length === 0 ? null : middle(all)
}
const rows = measured.map(({ contender, taken }, index): Row => ({
  served: contender.name,
  ...Object.fromEntries(
    (Object.keys(loads) as Name[]).map((name) => [name, shown(of(index, name, 'value'))]),
  ),
  'CPU s per 1000 × 64 KB': shown(of(index, '64 KB, req/s', 'cpu'), 2),
  'CPU s per GB': shown(of(index, '256 MB, MB/s', 'cpu'), 2),
  'peak MB': Math.max(...taken.map((each) => each.peak)),
}))
report('serve', rows)
for (const floor of ['nginx', 'send']) {
  const at = contenders.findIndex(({ name }) => name === floor)
  if (at < 0) continue
  report(
    `serve ÷ ${floor}`,
    contenders.map(({ name }, index) => ({
      served: name,
      ...Object.fromEntries(
        (Object.keys(loads) as Name[]).map((each) => {
          const [ours, theirs] = [of(index, each, 'value'), of(at, each, 'value')]
          return [
            each.replace(/,.*/, ''),
            ours === null || theirs === null ? '–' : shown(ours / theirs, 2),
          ]
        }),
      ),
    })),
  )
}
for (const child of new Set(contenders.map((each) => each.child.process))) child.kill()
await beside?.close()
await closeDatabases()
await rm(scratch, { recursive: true, force: true })

function shown(value: number | null, digits = 0): number | string {
  return value === null ? '–' : Number(value.toFixed(digits))
}
