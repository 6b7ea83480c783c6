// Each test begins with this: a database and a service in memory, and the app's own table.
import { testStorage } from 'activestorage-delayed/testing'
import { models } from './sign-up.ts'

export async function start() {
  const started = await testStorage(models, { retries: { minDelay: '1m', maxDelay: '1h' } })
  started.database.exec('create table users (id integer primary key, name text not null)')
  return started
}

const pixel =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

export const portrait = (): File =>
  new File([Buffer.from(pixel, 'base64')], 'portrait.png', { type: 'image/png' })
