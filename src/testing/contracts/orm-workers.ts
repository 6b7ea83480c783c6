import assert from 'node:assert/strict'
import { checkEngineStatements } from './engine-statements.ts'
import type { OrmBehaviour } from './orm-app.ts'
import { textFile } from './sample-files.ts'

/** Behaviours of workers and queue engines beside the app. */
export function testWorkers<Tx>(on: OrmBehaviour<Tx>): void {
  on('a commit of the app wakes a worker in the process', async ({ app, storage }) => {
    const id = await app.create('User', 'Ada', {})
    const worker = storage.work({ concurrency: 1 })
    try {
      await app.transaction((tx) => app.save('User', id, { photo: textFile('heard') }, tx))
      while ((await storage.record('User', id).photo.attachment()) === null)
        await new Promise((resolve) => setTimeout(resolve, 5))
    } finally {
      await worker.stop()
    }
  })

  on(
    'records are written and read in transactions while a worker uploads',
    async ({ app, storage }) => {
      const worker = storage.work({ concurrency: 2 })
      try {
        const ids: string[] = []
        for (const name of ['a', 'b', 'c']) {
          const id = await app.transaction(async (tx) => {
            const created = await app.create('User', name, { photo: textFile(name) }, tx)
            await app.save(
              'User',
              created,
              { certificates: [textFile(`${name}1`), textFile(`${name}2`)] },
              tx,
            )
            const [within] = await storage.records('User', [created], { transaction: tx })
            assert.equal((await within?.certificates.delayedUploads())?.[0]?.files.length, 2)
            return created
          })
          ids.push(id)
          await app.save('User', id, { photo: textFile(`${name}3`) })
        }
        const names = async (): Promise<string[]> =>
          (
            await Promise.all(
              (await storage.records('User', ids)).map(
                async ({ photo }) => (await photo.attachment())?.filename ?? '',
              ),
            )
          ).toSorted()
        while ((await names()).join() !== 'a3.txt,b3.txt,c3.txt')
          await new Promise((resolve) => setTimeout(resolve, 5))
      } finally {
        await worker.stop()
      }
    },
  )

  on("a queue engine's statements have $1 placeholders, and its values arrive", async ({ app }) =>
    checkEngineStatements(app.database, (run) =>
      app.transaction((tx) => run(app.database.join(tx))),
    ),
  )
}
