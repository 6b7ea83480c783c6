import { expect, onTestFinished, test } from 'vitest'
import { signUp } from '../sign-up.ts'
import { portrait, start } from '../start.ts'

async function begin() {
  const started = await start()
  onTestFinished(() => started.storage.close())
  return started
}

test('a portrait is there after the work is done', async () => {
  const { storage, service } = await begin()
  const user = storage.record('User', await signUp(storage, 'Ada', portrait()))
  expect((await user.portrait.latest())?.state).toBe('staged')
  await storage.drain({ throwOnError: true })
  expect((await user.portrait.latest())?.state).toBe('attached')
  expect(service.objects.size).toBe(1)
})

test('an outage delays the portrait by a minute or two', async () => {
  const { storage, service, clock } = await begin()
  const user = storage.record('User', await signUp(storage, 'Ada', portrait()))
  service.fail(1)
  await expect(storage.drain({ throwOnError: true })).rejects.toThrow(
    'fails because the test asked',
  )
  clock.advance('2m')
  await storage.drain({ throwOnError: true })
  expect(await user.portrait.attached()).toBe(true)
})

test('what is no image is refused, and nobody is signed up', async () => {
  const { storage, database } = await begin()
  await expect(
    signUp(storage, 'Mallory', new File(['<!doctype html>'], 'x.png')),
  ).rejects.toMatchObject({ code: 'FILE_TYPE_NOT_ACCEPTED' })
  expect(database.prepare('select count(*) as n from users').get()).toEqual({ n: 0 })
})
