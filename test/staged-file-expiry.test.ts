import assert from 'node:assert/strict'
import { after } from 'node:test'
import { closeDatabases } from './support/databases.ts'
import { atEach, closeServers, databases } from './support/races.ts'
import { text } from './support/storage.ts'

after(async () => {
  await closeServers()
  await closeDatabases()
})

atEach(
  databases,
  'a staged file expires by the clock of the database, not of the app',
  async (app) => {
    const { storage } = app
    const staged = await storage.stage(text('valid'))
    const old = await storage.stage(text('old'))
    await app.query("update {files} set expires_at = 1 where filename = 'old.txt'")
    const real = Date
    // Sets the clock of this process ahead, or behind by a negative number, in milliseconds.
    const set = (ahead: number): void => {
      globalThis.Date = class extends real {
        constructor(...given: ConstructorParameters<typeof Date>) {
          super(...((given as unknown[]).length > 0 ? given : ([real.now() + ahead] as never)))
        }
        static override now = (): number => real.now() + ahead
      } as never
    }
    try {
      for (const [index, hours] of [25, 24 * 365, -25].entries()) {
        set(hours * 3_600_000)
        const { photo, cover } = storage.record('User', 10 + index)
        await assert.rejects(photo.attachLater(old), { code: 'STAGED_FILE_EXPIRED' })
        await assert.rejects(photo.attach(old), { code: 'STAGED_FILE_EXPIRED' })
        if (index === 0) assert.ok((await photo.attachLater(staged)) !== null)
        else assert.ok((await cover.attachLater(await storage.stage(text('later')))) !== null)
      }
    } finally {
      globalThis.Date = real
    }
    await app.finishTidy()
    assert.deepEqual(await app.attached(10, 'photo'), ['valid.txt'])
  },
)
