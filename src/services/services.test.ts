import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { code, md5, pieces } from '../../test/support/bytes.ts'
import { serviceContract } from '../testing/contracts/service.ts'
import { faulty } from '../testing/faulty.ts'
import { disk } from './disk.ts'
import { memory } from './memory.ts'
import { limitService } from './limit-service.ts'
import { s3 } from './s3.ts'
import type { DownloadOptions, Service } from './service.ts'
import { readTimeouts } from './timeouts.ts'
import { traceService } from './trace-service.ts'

const hello = { byteSize: 5, checksum: md5('hello') }

const folders: string[] = []
const folder = async (): Promise<string> => {
  const made = await mkdtemp(join(tmpdir(), 'disk-'))
  folders.push(made)
  return made
}
after(() => Promise.all(folders.map((path) => rm(path, { recursive: true, force: true }))))

/** A service as an author may write it: a class, without the optional members. */
class OwnService implements Service {
  readonly #inner = memory()
  upload(...given: Parameters<Service['upload']>): Promise<void> {
    return this.#inner.upload(...given)
  }
  download(key: string, options?: DownloadOptions): Promise<AsyncIterable<Uint8Array>> {
    return this.#inner.download(key, options)
  }
  delete(key: string): Promise<void> {
    return this.#inner.delete(key)
  }
  exists(key: string): Promise<boolean> {
    return this.#inner.exists(key)
  }
  url(): Promise<null> {
    return Promise.resolve(null)
  }
  urlForDirectUpload(): Promise<null> {
    return Promise.resolve(null)
  }
}

const wrap = (service: Service): Service =>
  traceService('own', limitService('own', service, readTimeouts()))

const countOptional = ({ deletePrefixed, compose, copy }: Service): number =>
  [deletePrefixed, compose, copy].filter((member) => member !== undefined).length

describe('a service of an app, traced and with time limits', () => {
  serviceContract({ test, create: () => Promise.resolve(wrap(new OwnService())) })
  test('has the optional members of the service, and no others', () => {
    assert.deepEqual(
      [new OwnService(), memory()].map((service) => countOptional(wrap(service))),
      [0, 3],
    )
  })
})
describe('a service of an app, with faults', () => {
  serviceContract({ test, create: () => Promise.resolve(faulty(new OwnService())) })
  test('has the optional members of the service, and no others', () => {
    assert.deepEqual(
      [new OwnService(), memory()].map((service) => countOptional(faulty(service))),
      [0, 3],
    )
  })
})
describe('memory with time limits', () =>
  serviceContract({ test, create: () => Promise.resolve(wrap(memory())) }))
describe('memory', () => serviceContract({ test, create: () => Promise.resolve(memory()) }))
describe('disk', () => {
  serviceContract({ test, create: async () => disk({ root: await folder() }) })
  test("files lie where Rails' Disk service looks for them, and no temporary file is left", async () => {
    const root = await folder()
    const service = disk({ root })
    await service.upload('abcdefgh', pieces('hello'), hello)
    await assert.rejects(service.upload('zzzzzz', pieces('hello'), { ...hello, checksum: 'wrong' }))
    assert.equal((await stat(join(root, 'ab', 'cd', 'abcdefgh'))).size, 5)
    assert.deepEqual(await readdir(join(root, '.tmp')), [])
  })
  test('a file that is deleted before its first byte is read is FILE_NOT_FOUND', async () => {
    const service = disk({ root: await folder() })
    await service.upload('abcdefgh', pieces('hello'), hello)
    const bytes = await service.download('abcdefgh')
    await service.delete('abcdefgh')
    await assert.rejects(async () => {
      for await (const chunk of bytes) assert.ok(chunk)
    }, code('FILE_NOT_FOUND'))
  })
  test('a folder in the place of an object cannot be read', async () => {
    const root = await folder()
    await mkdir(join(root, 'ab', 'cd', 'abcdefgh'), { recursive: true })
    const bytes = await disk({ root }).download('abcdefgh')
    await assert.rejects(async () => {
      for await (const chunk of bytes) assert.ok(chunk)
    }, code('SERVICE'))
  })
})

test('s3 stops waiting for credentials when a signal aborts', { timeout: 10_000 }, async () => {
  const credentials = (): Promise<never> => new Promise(() => undefined)
  const service = s3({ bucket: 'none', region: 'none', credentials })
  const signal = AbortSignal.timeout(20)
  const common = { expiresIn: 60, contentType: 'text/plain', disposition: 'inline', signal }
  await assert.rejects(service.url('key', common), { name: 'TimeoutError' })
  await assert.rejects(
    service.urlForDirectUpload('key', {
      ...common,
      byteSize: 5,
      checksum: 'XUFAKrxLKna5cZ2REBfFkg==',
    }),
    { name: 'TimeoutError' },
  )
})
