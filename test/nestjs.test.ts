import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import { FORM, fileIn, headOf, statusesIn, tcpClient } from './support/tcp.ts'
import { ActiveStorageModule, nestApp, nestStorage, startNestApp } from './support/nest-app.ts'

const userForm = (name: string, size = 5): FormData => {
  const form = new FormData()
  form.set('user[name]', name)
  form.set('user[photo]', new File(['x'.repeat(size)], 'ada.txt'))
  return form
}

async function post(url: string, body: FormData): Promise<{ status: number; text: string }> {
  const answer = await fetch(url, { method: 'POST', body })
  return { status: answer.status, text: await answer.text() }
}
/**
 * Returns the response to a client that sends everything before it reads, on a connection that is
 * not kept.
 */
async function toldAtTheEnd(url: string): Promise<unknown> {
  const client = tcpClient(Number(new URL(url).port))
  const form = fileIn('user[photo]')
  const length = form.length + 8_000_000
  await client.send(
    headOf('POST /users/1', {
      'Content-Type': FORM,
      'Content-Length': length,
      Connection: 'close',
    }),
    form,
  )
  for (let sent = 0; sent < 8; sent += 1) await client.send(Buffer.alloc(1_000_000, 'x'))
  const heard = await client.heard()
  client.socket.destroy()
  return [statusesIn(heard), heard.error]
}
async function refusal(
  url: string,
  body: FormData,
): Promise<{ statusCode: number; code?: string; message: string }> {
  const { status, text } = await post(url, body)
  const told = JSON.parse(text) as { statusCode: number; code?: string; message: string }
  assert.equal(told.statusCode, status)
  return told
}

async function waitTurns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise(setImmediate)
}

test("a form gets its response at once, shows its file, and the module's worker attaches it", async (t) => {
  const { storage, service, attached, url } = await startNestApp(t, { work: { concurrency: 1 } })
  const gate = Promise.withResolvers<void>()
  service.gate = gate.promise
  assert.deepEqual(await post(`${url}/users/1`, userForm('Ada')), {
    status: 201,
    text: 'saved Ada',
  })
  const { photo } = storage.record('User', 1)
  const path = (await photo.latest())?.path() ?? ''
  assert.match(path, /pending/)
  assert.equal(await (await fetch(url + path)).text(), 'xxxxx')
  gate.resolve()
  await attached
  const stored = await photo.attachment()
  assert.equal(await (await fetch(url + stored?.path())).text(), 'xxxxx')
})

test('a form refused by a pipe or the handler leaves only what its page sent before', async (t) => {
  const { url, states, storage } = await startNestApp(t)
  assert.deepEqual(await refusal(`${url}/users/1`, userForm('')), {
    statusCode: 400,
    error: 'Bad Request',
    message: 'A user needs a name.',
  })
  assert.equal((await refusal(`${url}/users/1`, userForm('taken'))).statusCode, 409)
  assert.equal((await post(`${url}/users/1`, userForm('Ada'))).status, 201)
  const staged = await storage.stage(new File(['x'], 'before.txt'))
  const form = userForm('taken')
  form.set('user[certificates][]', staged.signedId)
  assert.equal((await refusal(`${url}/users/1`, form)).statusCode, 409)
  assert.deepEqual(await states(), ['dropped', 'dropped', 'linked', 'staged', 'dropped'])
})

test('a form that the storage refuses gets a response with status and code', async (t) => {
  const { url, states } = await startNestApp(t)
  const { message, ...told } = await refusal(`${url}/users/1`, userForm('Ada', 5000))
  assert.deepEqual(told, { statusCode: 413, code: 'FILE_TOO_LARGE' })
  assert.match(message, /^ada\.txt is larger than 1 KB\. Choose a smaller one\.$/)
  assert.deepEqual(await states(), [])
  const unknown = new FormData()
  unknown.set('user[avatar]', new File(['x'], 'x.txt'))
  assert.equal((await refusal(`${url}/users/1`, unknown)).code, 'INVALID_INPUT')
  assert.deepEqual(await toldAtTheEnd(url), [['413'], null])
  // A mistake of the app is not told to visitors.
  const mistake = await refusal(`${url}/users/1/mistakes`, userForm('Ada'))
  assert.deepEqual([mistake.statusCode, mistake.code], [500, 'UNKNOWN_ATTACHMENT'])
  assert.match(
    mistake.message,
    /^Something went wrong on our side\. Try again later\. Reference: \w{8}\.$/,
  )
})

test('a storage error that the handler throws gets a response with its code too', async (t) => {
  const { url } = await startNestApp(t)
  const form = userForm('Ada')
  form.set('user[photo]', 'a signed id that is none')
  assert.equal((await refusal(`${url}/users/1`, form)).code, 'INVALID_INPUT')
})

test('a form that is shown again has its files in hidden fields', async (t) => {
  const { url, states } = await startNestApp(t)
  const form = new FormData()
  form.set('name', 'Ada')
  form.set('photo', new File(['hello'], 'ada.txt'))
  const { values, hidden } = JSON.parse((await post(`${url}/users/1/drafts`, form)).text) as {
    values: object
    hidden: { name: string; filename: string }[]
  }
  assert.deepEqual(values, { name: 'Ada' })
  assert.deepEqual([hidden[0]?.name, hidden[0]?.filename], ['photo', 'ada.txt'])
  assert.deepEqual(await states(), ['staged'])
  form.append('certificates[]', new File(['x'], 'x.txt'))
  assert.equal((await refusal(`${url}/users/1/drafts`, form)).code, 'FORM_LIMIT')
})

test('files of JSON arrive although Nest has a parser for them', async (t) => {
  const { storage, url } = await startNestApp(t)
  const answer = await fetch(url + storage.stagedUploadPath('User.photo'), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-Filename': 'a.json' },
    body: '{ "spaces":  "count" }',
  })
  assert.equal(answer.status, 201)
  const { path } = (await answer.json()) as { path: string }
  assert.equal(await (await fetch(url + path)).text(), '{ "spaces":  "count" }')
})

test('mount: false leaves the paths to the app', async (t) => {
  const { storage, url } = await startNestApp(t, { mount: false })
  const staged = await storage.stage(new File(['x'], 'x.txt'))
  assert.equal((await fetch(url + staged.path())).status, 404)
})

test('shutdown waits for the current work, and then closes the storage', async (t) => {
  const { storage, service } = nestStorage(t)
  const gate = Promise.withResolvers<void>()
  service.gate = gate.promise
  let storedBefore: number | undefined
  class Ends {
    beforeApplicationShutdown(): void {
      // An end that did not wait would be over after so many turns.
      void waitTurns(100).then(gate.resolve)
    }
    onApplicationShutdown(): void {
      storedBefore = service.objects.size
    }
  }
  const { app, url } = await nestApp(t, {
    module: Ends,
    imports: [ActiveStorageModule.forRoot({ storage, migrate: true, work: true })],
  })
  await post(`${url}/users/1`, userForm('Ada'))
  while (service.uploads === 0) await delay(1)
  await app.close()
  assert.equal(storedBefore, 1)
  await assert.rejects(storage.stage(new File(['x'], 'x.txt')), { code: 'CONFIGURATION' })
})

test('shutdown does not wait for clients that follow an upload', async (t) => {
  const { storage, app, url } = await startNestApp(t)
  await post(`${url}/users/1`, userForm('Ada'))
  const [upload] = await storage.record('User', 1).photo.delayedUploads()
  const following = await fetch(url + upload?.path(), { headers: { Accept: 'text/event-stream' } })
  assert.match(following.headers.get('content-type') ?? '', /event-stream/)
  await app.close()
  await assert.rejects(following.text())
})

test('the storage is created from what the app injects', async (t) => {
  class Settings {
    readonly photo = nestStorage(t)
  }
  class SettingsModule {}
  Module({ providers: [Settings], exports: [Settings] })(SettingsModule)
  const { app, url } = await nestApp(
    t,
    ActiveStorageModule.forRootAsync({
      imports: [SettingsModule],
      inject: [Settings],
      useFactory: async ({ photo }: Settings) => ({
        storage: photo.storage,
        migrate: true,
        work: true,
      }),
    }),
  )
  await post(`${url}/users/1`, userForm('Ada'))
  await app.get(Settings).photo.attached
})

test('a worker runs without a server', async (t) => {
  const { storage, service, attached } = nestStorage(t)
  const context = await NestFactory.createApplicationContext(
    ActiveStorageModule.forRoot({ storage, migrate: true, work: true }),
    {
      logger: false,
    },
  )
  await storage.record('User', 1).attachLater({ photo: new File(['x'], 'x.txt') })
  await attached
  await context.close()
  assert.equal(service.objects.size, 1)
})

test('a misspelt option is refused', async (t) => {
  const { storage } = nestStorage(t)
  await assert.rejects(
    nestApp(t, ActiveStorageModule.forRoot({ storage, worker: true } as never)),
    {
      code: 'CONFIGURATION',
      message: /unknown option 'worker'/,
    },
  )
})

test('on Fastify a form is staged, shown and attached, and no parser reads a file first', async (t) => {
  const { storage, service, attached, states, url } = await startNestApp(
    t,
    { work: true },
    new FastifyAdapter(),
  )
  const gate = Promise.withResolvers<void>()
  service.gate = gate.promise
  assert.deepEqual(await post(`${url}/users/1`, userForm('Ada')), {
    status: 201,
    text: 'saved Ada',
  })
  const path = (await storage.record('User', 1).photo.latest())?.path() ?? ''
  assert.match(path, /pending/)
  assert.equal(await (await fetch(url + path)).text(), 'xxxxx')
  assert.equal((await refusal(`${url}/users/1`, userForm('Ada', 5000))).code, 'FILE_TOO_LARGE')
  assert.deepEqual(await toldAtTheEnd(url), [['413'], null])
  assert.equal((await refusal(`${url}/users/1`, userForm('taken'))).statusCode, 409)
  assert.deepEqual(await states(), ['linked', 'dropped'])
  gate.resolve()
  await attached
  const stored = await storage.record('User', 1).photo.attachment()
  assert.equal(await (await fetch(url + stored?.path())).text(), 'xxxxx')
  const sent = await fetch(url + storage.stagedUploadPath('User.photo'), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-Filename': 'a.json' },
    body: '{ "spaces":  "count" }',
  })
  assert.equal(sent.status, 201)
  const staged = (await sent.json()) as { path: string }
  assert.equal(await (await fetch(url + staged.path)).text(), '{ "spaces":  "count" }')
})

test('a known path names its methods, under Express and under Fastify', async (t) => {
  for (const adapter of [undefined, new FastifyAdapter()]) {
    const { storage, url } = await startNestApp(t, {}, adapter)
    const path = storage.stagedUploadPath('User.photo')
    for (const [method, status] of [
      ['OPTIONS', 204],
      ['PATCH', 405],
      ['HEAD', 405],
    ] as const) {
      const response = await fetch(`${url}${path}`, { method })
      assert.deepEqual(
        [response.status, response.headers.get('allow')],
        [status, 'POST, DELETE, OPTIONS'],
      )
    }
  }
})
