import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { serviceContract } from '../testing/contracts/service.ts'
import { disk } from './disk.ts'
import { memory } from './memory.ts'

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
    const hello = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('hello')
    }
    await service.upload('abcdefgh', hello(), { byteSize: 5, checksum: 'XUFAKrxLKna5cZ2REBfFkg==' })
    await assert.rejects(service.upload('zzzzzz', hello(), { byteSize: 5, checksum: 'wrong' }))
    assert.equal((await stat(join(root, 'ab', 'cd', 'abcdefgh'))).size, 5)
    assert.deepEqual(await readdir(join(root, '.tmp')), [])
  })
})
