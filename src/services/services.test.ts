import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { serviceContract } from '../testing/contracts/service.ts'
import { disk } from './disk.ts'
import { memory } from './memory.ts'
import { s3 } from './s3.ts'

const code = (expected: string) => (error: unknown) =>
  (error as { code?: string }).code === expected
async function* hello(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('hello')
}

const folders: string[] = []
const folder = async (): Promise<string> => {
  const made = await mkdtemp(join(tmpdir(), 'disk-'))
  folders.push(made)
  return made
}
after(() => Promise.all(folders.map((path) => rm(path, { recursive: true, force: true }))))

describe('memory', () => serviceContract({ test, create: () => Promise.resolve(memory()) }))
describe('disk', () => {
  serviceContract({ test, create: async () => disk({ root: await folder() }) })
  test("files lie where Rails' Disk service looks for them, and no temporary file stays", async () => {
    const root = await folder()
    const service = disk({ root })
    await service.upload('abcdefgh', hello(), { byteSize: 5, checksum: 'XUFAKrxLKna5cZ2REBfFkg==' })
    await assert.rejects(service.upload('zzzzzz', hello(), { byteSize: 5, checksum: 'wrong' }))
    assert.equal((await stat(join(root, 'ab', 'cd', 'abcdefgh'))).size, 5)
    assert.deepEqual(await readdir(join(root, '.tmp')), [])
  })
  test('a file that goes before its first byte is read was not found', async () => {
    const service = disk({ root: await folder() })
    await service.upload('abcdefgh', hello(), { byteSize: 5, checksum: 'XUFAKrxLKna5cZ2REBfFkg==' })
    const bytes = await service.download('abcdefgh')
    await service.delete('abcdefgh')
    await assert.rejects(async () => {
      for await (const chunk of bytes) assert.ok(chunk)
    }, code('FILE_NOT_FOUND'))
  })
  test('what is no file cannot be read', async () => {
    const root = await folder()
    await mkdir(join(root, 'ab', 'cd', 'abcdefgh'), { recursive: true })
    const bytes = await disk({ root }).download('abcdefgh')
    await assert.rejects(async () => {
      for await (const chunk of bytes) assert.ok(chunk)
    }, code('SERVICE'))
  })
})

test('a range that is none is refused by every service', async () => {
  const services = [
    memory(),
    disk({ root: await folder() }),
    s3({ bucket: 'none', region: 'none' }),
  ]
  const ranges = [
    [3, 1],
    [-1, 2],
    [0, 1.5],
    [0, NaN],
  ] as const
  for (const service of services)
    for (const range of ranges)
      await assert.rejects(service.download('abcdefgh', { range }), code('INVALID_INPUT'))
})
