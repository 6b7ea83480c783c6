import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { Service, UploadOptions } from '../../services/service.ts'
import { hasErrorCode } from './error-codes.ts'

/** Options of `serviceContract`. */
export interface ServiceContractOptions {
  /** The function `test` of node:test, vitest or Jest. */
  readonly test: (name: string, run: () => Promise<void>) => unknown
  /** Creates a service without objects. Each test calls it once. */
  create(): Promise<Service>
}

const toChecksum = (data: Uint8Array): string => createHash('md5').update(data).digest('base64')

async function* chunks(data: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; at += 65_536) yield data.subarray(at, at + 65_536)
}

async function put(
  service: Service,
  key: string,
  data: Uint8Array,
  options: Partial<UploadOptions> = {},
): Promise<void> {
  await service.upload(key, chunks(data), {
    byteSize: data.length,
    checksum: toChecksum(data),
    contentType: 'text/plain',
    ...options,
  })
}

async function get(
  service: Service,
  key: string,
  range?: readonly [number, number],
): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of await service.download(key, range === undefined ? {} : { range }))
    parts.push(part)
  return Buffer.concat(parts)
}

/**
 * Defines the tests that every service must pass, for a test file of a service of your own.
 * Optional members are tested where the service has them.
 */
export function serviceContract(options: ServiceContractOptions): void {
  testObjects(options)
  testKeys(options)
  testOptionalMembers(options)
}

const hello = Buffer.from('hello')

function testObjects({ test, create }: ServiceContractOptions): void {
  test('uploaded bytes come back: none, one, megabytes', async () => {
    const service = await create()
    for (const size of [0, 1, 3 * 1024 * 1024 + 7]) {
      const data = Buffer.alloc(size, 'abc')
      await put(service, `size-${size}`, data)
      assert.deepEqual(await get(service, `size-${size}`), data)
    }
  })
  test('wrong bytes are refused, and the old object stays', async () => {
    const service = await create()
    await put(service, 'key-of-it', hello)
    await assert.rejects(
      put(service, 'key-of-it', Buffer.from('other'), { checksum: toChecksum(hello) }),
      hasErrorCode('INTEGRITY'),
    )
    await assert.rejects(
      put(service, 'key-of-it', hello, { byteSize: 4 }),
      hasErrorCode('INTEGRITY'),
    )
    await assert.rejects(
      put(service, 'key-of-it', hello, { byteSize: 6 }),
      hasErrorCode('INTEGRITY'),
    )
    await assert.rejects(
      put(service, 'new-key', hello, { checksum: toChecksum(Buffer.from('x')) }),
      hasErrorCode('INTEGRITY'),
    )
    assert.equal(await service.exists('new-key'), false)
    assert.deepEqual(await get(service, 'key-of-it'), hello)
  })
  test('a source that fails, or a signal that aborts, publishes nothing', async () => {
    const service = await create()
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield hello
      throw new Error('broken off')
    }
    const options = { byteSize: 10, checksum: toChecksum(hello) }
    await assert.rejects(service.upload('broken', broken(), options), /broken off/)
    const aborting = new AbortController()
    const aborted = async function* (): AsyncGenerator<Uint8Array> {
      yield hello
      aborting.abort()
      yield hello
    }
    await assert.rejects(
      service.upload('aborted', aborted(), { ...options, signal: aborting.signal }),
    )
    assert.equal(await service.exists('broken'), false)
    assert.equal(await service.exists('aborted'), false)
  })
  test('ranges are inclusive', async () => {
    const service = await create()
    await put(service, 'ranged', hello)
    assert.equal((await get(service, 'ranged', [1, 3])).toString(), 'ell')
  })
  test('reading a missing object is FileNotFoundError, and deleting it is no error', async () => {
    const service = await create()
    await assert.rejects(get(service, 'missing'), hasErrorCode('FILE_NOT_FOUND'))
    await service.delete('missing')
    await put(service, 'there', hello)
    await service.delete('there')
    assert.equal(await service.exists('there'), false)
  })
}

function testKeys({ test, create }: ServiceContractOptions): void {
  test('unsafe keys are refused', async () => {
    const service = await create()
    for (const key of ['', '../x', 'a/../../x', '/etc/passwd', 'a\0b', 'a//b', '.']) {
      await assert.rejects(put(service, key, hello), hasErrorCode('INVALID_INPUT'))
      await assert.rejects(service.exists(key), hasErrorCode('INVALID_INPUT'))
    }
  })
  test('keys may hold slashes, spaces and any letters', async () => {
    const service = await create()
    for (const key of ['a/b/c', 'with space.txt', '履歴書/файл.pdf']) {
      await put(service, key, hello)
      assert.deepEqual(await get(service, key), hello)
    }
  })
}

/** Behaviours of members that a service may leave out. */
function testOptionalMembers({ test, create }: ServiceContractOptions): void {
  test('deletePrefixed, where there is one, deletes objects with the prefix and no others', async () => {
    const service = await create()
    if (service.deletePrefixed === undefined) return
    await put(service, 'variants/abc/1', hello)
    await put(service, 'variants/abc/2', hello)
    await put(service, 'variants/abd/1', hello)
    await service.deletePrefixed('variants/abc/')
    assert.deepEqual(
      await Promise.all(
        ['variants/abc/1', 'variants/abc/2', 'variants/abd/1'].map((key) => service.exists(key)),
      ),
      [false, false, true],
    )
    await assert.rejects(service.deletePrefixed(''), hasErrorCode('INVALID_INPUT'))
  })
  test('compose, where there is one, joins objects in order', async () => {
    const service = await create()
    if (service.compose === undefined) return
    await put(service, 'part-1', Buffer.from('hel'))
    await put(service, 'part-2', Buffer.from('lo'))
    await service.compose(['part-1', 'part-2'], 'whole')
    assert.deepEqual(await get(service, 'whole'), hello)
  })
  test('copy, where there is one, copies an object', async () => {
    const service = await create()
    if (service.copy === undefined) return
    await put(service, 'original', hello)
    await service.copy('original', 'copy')
    assert.deepEqual(await get(service, 'copy'), hello)
    assert.deepEqual(await get(service, 'original'), hello)
  })
}
