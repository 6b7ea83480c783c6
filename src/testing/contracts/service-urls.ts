import assert from 'node:assert/strict'
import type { ServiceContractOptions } from './service.ts'
import { get, hello, put, toChecksum, type DefineTest } from './service-objects.ts'

/** Tests of `url` and `urlForDirectUpload`. They pass where the service has no URLs. */
export function testUrls(
  test: DefineTest,
  request: Exclude<ServiceContractOptions['fetch'], undefined>,
): void {
  test('a URL serves the object with the type and disposition that it was signed with', async (service) => {
    await put(service, 'seen', hello)
    const expected = {
      disposition: `attachment; filename="a b.txt"; filename*=UTF-8''a%20b.txt`,
      contentType: 'application/octet-stream',
    }
    const url = await service.url('seen', { expiresIn: 60, ...expected })
    // A plain URL of a public service serves the headers that were stored.
    if (url === null || request === null || service.public === true) return
    const answer = await request(url)
    assert.equal(await answer.text(), 'hello')
    assert.equal(answer.headers.get('content-disposition'), expected.disposition)
    assert.equal(answer.headers.get('content-type'), expected.contentType)
  })
  test('a URL for a direct upload accepts the announced file and refuses every other', async (service) => {
    const direct = await service.urlForDirectUpload('direct', {
      expiresIn: 60,
      byteSize: hello.length,
      checksum: toChecksum(hello),
      contentType: 'image/png',
      disposition: 'inline; filename="a.png"',
    })
    if (direct === null || request === null) return
    const send = async (body: string, changed: Readonly<Record<string, string>> = {}) => {
      const headers = new Headers(direct.headers)
      for (const [name, value] of Object.entries(changed)) headers.set(name, value)
      const answer = await request(direct.url, { method: 'PUT', headers, body })
      await answer.arrayBuffer()
      return answer.ok
    }
    assert.equal(await send('other'), false, 'other bytes')
    assert.equal(await send('hello, and more'), false, 'a longer body')
    assert.equal(await send('hello', { 'Content-Type': 'text/html' }), false, 'another type')
    const disposition = { 'Content-Disposition': 'inline; filename="a.html"' }
    assert.equal(await send('hello', disposition), false, 'another disposition')
    assert.equal(await service.exists('direct'), false)
    assert.equal(await send('hello'), true, 'the announced file')
    assert.deepEqual(await get(service, 'direct'), hello)
  })
}
