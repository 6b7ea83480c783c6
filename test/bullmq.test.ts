// The queue of docs/workers.md, which is on BullMQ, passes the contract.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Database, JobEngine } from '../src/adapters.ts'
import { sqlite } from '../src/database/sqlite.ts'
import { jobEngineContract } from '../src/testing/index.ts'
import { answersRedis, REDIS_URL } from './support/redis.ts'
import { absent } from './support/required-services.ts'

/** The constants of the example. Its types are checked with those of all examples. */
interface Example {
  readonly jobs: JobEngine
  readonly queue: { obliterate(options: { force: boolean }): Promise<void>; close(): Promise<void> }
  readonly connection: { disconnect(): void }
  readonly sender: { disconnect(): void }
}

if (await answersRedis()) {
  // Beside the tests, because the example imports packages.
  const folder = await mkdtemp(join(import.meta.dirname, '.bullmq-'))
  after(() => rm(folder, { recursive: true }))
  const docs = await readFile(join(import.meta.dirname, '../docs/workers.md'), 'utf8')
  const code = /```ts\n([^`]*from 'bullmq'[\s\S]*?)```/.exec(docs)?.[1] ?? assert.fail('no example')
  process.env['REDIS_URL'] = REDIS_URL
  let count = 0
  const load = async (): Promise<Example> => {
    const name = `activestorage-${process.pid}-${(count += 1)}`
    const file = join(folder, `${name}.ts`)
    const text = code.replaceAll("'uploads'", `'${name}'`)
    await writeFile(file, `${text}\nexport { connection, jobs, queue, sender }\n`)
    return (await import(file)) as Example
  }
  jobEngineContract({
    test,
    async create() {
      const { jobs, queue, connection, sender } = await load()
      return {
        engine: jobs,
        database: sqlite(':memory:') as unknown as Database<never, boolean>,
        async close() {
          await queue.obliterate({ force: true })
          await queue.close()
          connection.disconnect()
          sender.disconnect()
        },
      }
    },
  })
} else {
  const reason = `no Redis answered at ${REDIS_URL}`
  absent('redis', reason)
  test('a queue on BullMQ', { skip: reason })
}
