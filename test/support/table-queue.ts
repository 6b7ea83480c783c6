import { endsWithin } from '../../src/async/deadline.ts'
import type { Executor } from '../../src/database/executor.ts'
import type { Database, QueueMessage, JobEngine } from '../../src/adapters.ts'

/** A queue of one table in the app's database, as graphile-worker and pg-boss are. */
export async function tableQueue(database: Database<never>): Promise<JobEngine> {
  const dialect = await database.open()
  const key = {
    postgres: 'bigserial',
    sqlite: 'integer',
    mysql: 'bigint auto_increment',
    mariadb: 'bigint auto_increment',
  }[dialect]
  await database.executor.run(
    `create table hints (seq ${key} primary key, id varchar(64) not null, due bigint not null)`,
    [],
  )
  const take = async (executor: Executor): Promise<string | null> => {
    const skip = dialect === 'sqlite' ? '' : ' for update skip locked'
    const { rows } = await executor.run(
      `select seq, id from hints where due <= ${Date.now()} order by seq limit 1${skip}`,
      [],
    )
    const id = rows[0]?.['id']
    if (typeof id !== 'string') return null
    await executor.run(`delete from hints where seq = ${Number(rows[0]?.['seq'])}`, [])
    return id
  }
  return {
    name: 'a table of the test',
    transactional: true,
    async enqueue(hint, { executor, runAt }) {
      await executor.run('insert into hints (id, due) values ($1, $2)', [
        hint.id,
        runAt?.getTime() ?? 0,
      ])
    },
    work(handle, { concurrency }) {
      let stopping = false
      const loop = async (): Promise<void> => {
        while (!stopping) {
          const id = await database.transaction(({ executor }) => take(executor))
          if (id === null) await new Promise((resolve) => setTimeout(resolve, 5))
          else await handle({ kind: 'upload', id })
        }
      }
      const loops = Array.from({ length: concurrency }, () => loop())
      return Promise.resolve({
        async stop(timeout) {
          stopping = true
          await endsWithin(Promise.all(loops), timeout)
        },
      })
    },
  }
}

/** A queue elsewhere. The options name the faults that it shall have. */
export function memoryQueue({
  loses = false,
  losesDelayed = false,
  abandons = false,
  waits = false,
  hurries = false,
  dropsRepeated = false,
} = {}): JobEngine {
  const waiting: QueueMessage[] = []
  const running = new Set<Promise<void>>()
  /** Ids that wait or are handled. */
  const known = new Set<string>()
  const handlers: ((hint: QueueMessage) => Promise<void>)[] = []
  const deliver = (): void => {
    for (
      let handle = handlers[0];
      handle !== undefined && waiting.length > 0;
      handle = handlers[0]
    ) {
      handlers.push(...handlers.splice(0, 1))
      const hint = waiting.shift() as QueueMessage
      const run = handle(hint).finally(() => {
        running.delete(run)
        known.delete(hint.id)
      })
      running.add(run)
    }
  }
  return {
    name: 'a queue of the test',
    transactional: false,
    enqueue(hint, { runAt }) {
      if (loses || (losesDelayed && (runAt?.getTime() ?? 0) > Date.now() + 1000))
        return Promise.resolve()
      if (dropsRepeated && known.has(hint.id)) return Promise.resolve()
      known.add(hint.id)
      setTimeout(
        () => {
          waiting.push(hint)
          deliver()
        },
        hurries ? 0 : Math.max(0, (runAt?.getTime() ?? 0) - Date.now()),
      )
      return Promise.resolve()
    },
    work(handle) {
      handlers.push(handle)
      deliver()
      return Promise.resolve({
        async stop(timeout) {
          handlers.splice(handlers.indexOf(handle), 1)
          if (!abandons) await endsWithin(Promise.all(running), waits ? 2 ** 31 - 1 : timeout)
        },
      })
    },
  }
}
