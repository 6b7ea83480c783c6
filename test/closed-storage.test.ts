import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { hasManyAttached, hasOneAttached } from '../src/index.ts'
import { testStorage } from '../src/testing/index.ts'
import { closeDatabases } from './support/databases.ts'
import { text } from './support/storage.ts'

after(() => closeDatabases())
const models = { User: { photo: hasOneAttached(), docs: hasManyAttached() } }

test('a closed storage refuses every call', async () => {
  const { storage } = await testStorage(models)
  await storage.close()
  await assert.rejects(storage.record('User', 1).photo.attachLater(text('a')), {
    code: 'CONFIGURATION',
    message: /closed/,
  })
  await assert.rejects(storage.drain(), { code: 'CONFIGURATION' })
})
