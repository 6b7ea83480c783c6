import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HttpResponseError } from './responses.ts'
import { matchPath, routeRequest, segmentsBelow, type Route } from './router.ts'

test('a path gives its parameters; a filename of several segments is ignored', () => {
  assert.deepEqual(matchPath('blobs/:id/*', ['blobs', 'x', 'a', 'b.txt']), { id: 'x' })
  assert.deepEqual(matchPath('disk/:token', ['disk', 't']), { token: 't' })
  for (const segments of [
    ['blobs'],
    ['blobs', 'x'],
    ['blobs', 'x', ''],
    ['blobs', '', 'a'],
    ['b', 'x', 'a'],
  ])
    assert.equal(matchPath('blobs/:id/*', segments), null, segments.join('/'))
  assert.equal(matchPath('disk/:token', ['disk', 't', 'more']), null)
})

test('segments are decoded, and only below the mount point', () => {
  assert.deepEqual(segmentsBelow('/files', 'http://x/files/a%2Fb/%C3%A9?c=d'), ['a/b', 'é'])
  for (const path of ['/files', '/other/a', '/filesystem/a', '/files/%zz'])
    assert.equal(segmentsBelow('/files', `http://x${path}`), null, path)
})

const answering = (method: Route<null>['method'], path: string): Route<null> => ({
  method,
  path,
  async handle(_context, request, params) {
    return new Response(`${method} ${JSON.stringify(params)}`, {
      headers: { 'X-Method': request.method },
    })
  },
})
const routes = [
  answering('GET', 'a/:id'),
  answering('PUT', 'a/:id'),
  answering('GET', 'uploads/:id'),
  answering('HEAD', 'uploads/:id'),
  answering('PATCH', 'uploads/:id'),
  answering('OPTIONS', 'uploads/:id'),
]
const ask = (method: string, path: string): Promise<Response> =>
  routeRequest(null, routes, '/base', new Request(`http://x/base/${path}`, { method }))

test('PATCH, OPTIONS and HEAD reach a route of their own', async () => {
  for (const method of ['PATCH', 'OPTIONS']) {
    const response = await ask(method, 'uploads/1')
    assert.deepEqual([response.status, await response.text()], [200, `${method} {"id":"1"}`])
  }
  const head = await ask('HEAD', 'uploads/1')
  assert.deepEqual([head.status, head.headers.get('x-method'), head.body], [200, 'HEAD', null])
})

test('HEAD without a route is GET without the body', async () => {
  const response = await ask('HEAD', 'a/1')
  assert.deepEqual(
    [response.status, response.headers.get('x-method'), response.body],
    [200, 'HEAD', null],
  )
})

test('a known path responds 405 with Allow to an unknown method, and 204 to OPTIONS', async () => {
  for (const [method, status] of [
    ['DELETE', 405],
    ['PATCH', 405],
    ['POST', 405],
    ['PROPFIND', 405],
    ['OPTIONS', 204],
  ] as const) {
    const response = await ask(method, 'a/1')
    assert.deepEqual(
      [response.status, response.headers.get('allow'), response.headers.get('cache-control')],
      [status, 'GET, HEAD, PUT, OPTIONS', 'no-store'],
      method,
    )
  }
  assert.equal((await ask('PUT', 'uploads/1')).headers.get('allow'), 'GET, HEAD, PATCH, OPTIONS')
})

test('an unknown path is 404 for each method', async () => {
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'PATCH'])
    await assert.rejects(
      ask(method, 'unknown'),
      (error) => error instanceof HttpResponseError && error.response.status === 404,
    )
})
