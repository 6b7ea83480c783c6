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
        async stop() {
          stopping = true
          await Promise.all(loops)
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
} = {}): JobEngine {
  const waiting: QueueMessage[] = []
  const running = new Set<Promise<void>>()
  const handlers: ((hint: QueueMessage) => Promise<void>)[] = []
  const deliver = (): void => {
    for (
      let handle = handlers[0];
      handle !== undefined && waiting.length > 0;
      handle = handlers[0]
    ) {
      handlers.push(...handlers.splice(0, 1))
      const run = handle(waiting.shift() as QueueMessage).finally(() => running.delete(run))
      running.add(run)
    }
  }
  return {
    name: 'a queue of the test',
    transactional: false,
    enqueue(hint, { runAt }) {
      if (loses || (losesDelayed && (runAt?.getTime() ?? 0) > Date.now() + 1000))
        return Promise.resolve()
      setTimeout(
        () => {
          waiting.push(hint)
          deliver()
        },
        Math.max(0, (runAt?.getTime() ?? 0) - Date.now()),
      )
      return Promise.resolve()
    },
    work(handle) {
      handlers.push(handle)
      deliver()
      return Promise.resolve({
        async stop() {
          handlers.splice(handlers.indexOf(handle), 1)
          if (!abandons) await Promise.all(running)
        },
      })
    },
  }
}
