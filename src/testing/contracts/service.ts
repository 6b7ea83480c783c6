import assert from 'node:assert/strict'
import type { Service } from '../../services/service.ts'
import { hasErrorCode } from './error-codes.ts'
import { get, hello, put, toChecksum, type DefineTest } from './service-objects.ts'
import { testUrls } from './service-urls.ts'

/** Options of `serviceContract`. */
export interface ServiceContractOptions {
  /** The function `test` of node:test, vitest or Jest. */
  readonly test: (name: string, run: () => Promise<void>) => unknown
  /**
   * Creates a service without objects. Each test calls it once. A fresh prefix in one bucket will
   * do.
   */
  create(): Promise<Service>
  /** Ends a service of `create`, after its test. Default: nothing to end. */
  close?(service: Service): Promise<void>
  /**
   * Sends requests to the URLs that the service signs. null: their server does not respond, or does
   * not check what was signed, and the tests of URLs pass without requests. Default: `fetch`.
   */
  readonly fetch?: ((url: string, init?: RequestInit) => Promise<Response>) | null
}

/**
 * Defines the tests that every service must pass, for a test file of a service of your own.
 * Optional members are tested where the service has them.
 */
export function serviceContract(options: ServiceContractOptions): void {
  const { fetch: request = fetch } = options
  const define: DefineTest = (name, run) =>
    options.test(name, async () => {
      const service = await options.create()
      try {
        await run(service)
      } finally {
        await options.close?.(service)
      }
    })
  testObjects(define)
  testTransfers(define)
  testRanges(define)
  testKeys(define)
  testUrls(define, request)
  testOptionalMembers(define)
}

function testObjects(test: DefineTest): void {
  test('uploaded bytes come back: none, one, megabytes', async (service) => {
    for (const size of [0, 1, 3 * 1024 * 1024 + 7]) {
      const data = Buffer.alloc(size, 'abc')
      await put(service, `size-${size}`, data)
      assert.deepEqual(await get(service, `size-${size}`), data)
    }
  })
  test('wrong bytes are refused, and the old object stays', async (service) => {
    await put(service, 'old', hello)
    await assert.rejects(
      put(service, 'old', Buffer.from('other'), { checksum: toChecksum(hello) }),
      hasErrorCode('INTEGRITY'),
    )
    await assert.rejects(put(service, 'old', hello, { byteSize: 4 }), hasErrorCode('INTEGRITY'))
    await assert.rejects(put(service, 'old', hello, { byteSize: 6 }), hasErrorCode('INTEGRITY'))
    await assert.rejects(
      put(service, 'new-key', hello, { checksum: toChecksum(Buffer.from('x')) }),
      hasErrorCode('INTEGRITY'),
    )
    assert.equal(await service.exists('new-key'), false)
    assert.deepEqual(await get(service, 'old'), hello)
  })
  test('reading a missing object is FileNotFoundError, and deleting it is no error', async (service) => {
    await assert.rejects(get(service, 'missing'), hasErrorCode('FILE_NOT_FOUND'))
    await service.delete('missing')
    await put(service, 'there', hello)
    await service.delete('there')
    assert.equal(await service.exists('there'), false)
  })
}

const twice = Buffer.from('hellohello')

function testTransfers(test: DefineTest): void {
  test('a source that fails publishes nothing, and its error is thrown as it is', async (service) => {
    const failure = new Error('broken off')
    const body = async function* (): AsyncGenerator<Uint8Array> {
      yield hello
      throw failure
    }
    const options = { byteSize: twice.length, checksum: toChecksum(twice) }
    await assert.rejects(
      service.upload('broken', body(), options),
      (error: unknown) => error === failure,
    )
    assert.equal(await service.exists('broken'), false)
  })
  test('a signal that aborts rejects the upload with its reason, and nothing is published', async (service) => {
    const controller = new AbortController()
    const reason = new Error('the caller gave it up')
    // The bytes are the right ones, so that nothing but the signal can stop them.
    const body = async function* (): AsyncGenerator<Uint8Array> {
      yield hello
      controller.abort(reason)
      yield hello
    }
    const { signal } = controller
    const options = { byteSize: twice.length, checksum: toChecksum(twice), signal }
    await assert.rejects(
      service.upload('aborted', body(), options),
      (error: unknown) => error === reason,
    )
    assert.equal(await service.exists('aborted'), false)
  })
}

function testRanges(test: DefineTest): void {
  test('ranges are inclusive, and end with the object', async (service) => {
    await put(service, 'ranged', hello)
    for (const [range, expected] of [
      [[1, 3], 'ell'],
      [[0, 0], 'h'],
      [[3, 99], 'lo'],
    ] as const)
      assert.equal((await get(service, 'ranged', range)).toString(), expected, range.join('-'))
  })
  test('a range that is negative, reversed or not whole is invalid', async (service) => {
    await put(service, 'ranged', hello)
    for (const range of [
      [3, 1],
      [-1, 2],
      [0, 1.5],
      [0, NaN],
    ] as const)
      await assert.rejects(
        get(service, 'ranged', range),
        hasErrorCode('INVALID_INPUT'),
        range.join('-'),
      )
  })
  test('a range that begins after the last byte is invalid', async (service) => {
    await put(service, 'ranged', hello)
    await put(service, 'empty', Buffer.alloc(0))
    for (const [key, range] of [
      ['ranged', [5, 9]],
      ['ranged', [7, 7]],
      ['empty', [0, 0]],
    ] as const)
      await assert.rejects(get(service, key, range), hasErrorCode('INVALID_INPUT'), key)
  })
}

function testKeys(test: DefineTest): void {
  test('unsafe keys are refused', async (service) => {
    for (const key of ['', '../x', 'a/../../x', '/etc/passwd', 'a\0b', 'a//b', '.']) {
      await assert.rejects(put(service, key, hello), hasErrorCode('INVALID_INPUT'))
      await assert.rejects(service.exists(key), hasErrorCode('INVALID_INPUT'))
    }
  })
  test('keys may hold slashes, spaces and any letters', async (service) => {
    for (const key of ['a/b/c', 'with space.txt', '履歴書/файл.pdf']) {
      await put(service, key, hello)
      assert.deepEqual(await get(service, key), hello)
    }
  })
}

/** Behaviours of members that a service may leave out. */
function testOptionalMembers(test: DefineTest): void {
  test('deletePrefixed, where there is one, deletes objects with the prefix and no others', async (service) => {
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
  test('compose, where there is one, joins objects in order', async (service) => {
    if (service.compose === undefined) return
    await put(service, 'part-1', Buffer.from('hel'))
    await put(service, 'part-2', Buffer.from('lo'))
    await service.compose(['part-1', 'part-2'], 'whole')
    assert.deepEqual(await get(service, 'whole'), hello)
  })
  test('copy, where there is one, copies an object', async (service) => {
    if (service.copy === undefined) return
    await put(service, 'original', hello)
    await service.copy('original', 'copy')
    assert.deepEqual(await get(service, 'copy'), hello)
    assert.deepEqual(await get(service, 'original'), hello)
  })
}
