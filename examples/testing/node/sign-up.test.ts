import assert from 'node:assert/strict'
import { test } from 'node:test'
import { signUp } from '../sign-up.ts'
import { portrait, start } from '../start.ts'

test('a portrait is there after the work is done', async (t) => {
  const { storage, service } = await start()
  t.after(() => storage.close())
  const id = await signUp(storage, 'Ada', portrait())
  const user = storage.record('User', id)
  assert.equal((await user.portrait.latest())?.state, 'staged')
  await storage.drain({ throwOnError: true })
  assert.equal((await user.portrait.latest())?.state, 'attached')
  assert.equal(service.objects.size, 1)
})

test('an outage delays the portrait by a minute or two', async (t) => {
  const { storage, service, clock } = await start()
  t.after(() => storage.close())
  const user = storage.record('User', await signUp(storage, 'Ada', portrait()))
  service.fail(1)
  await assert.rejects(storage.drain({ throwOnError: true }), /fails because the test asked/)
  clock.advance('2m')
  await storage.drain({ throwOnError: true })
  assert.equal(await user.portrait.attached(), true)
})

test('what is no image is refused, and nobody is signed up', async (t) => {
  const { storage, database } = await start()
  t.after(() => storage.close())
  await assert.rejects(signUp(storage, 'Mallory', new File(['<!doctype html>'], 'x.png')), {
    code: 'FILE_TYPE_NOT_ACCEPTED',
  })
  assert.equal(database.prepare('select count(*) as n from users').get()?.['n'], 0)
})
