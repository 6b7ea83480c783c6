// The part of `sqlite3` that Sequelize uses, over better-sqlite3: most machines must compile
// sqlite3.
import BetterSqlite3 from 'better-sqlite3'

/** Milliseconds for which sqlite3 waits for a lock, in a thread of its own. */
const BUSY_TIMEOUT = 1000

type Done = (
  this: { lastID?: number; changes?: number },
  error: Error | null,
  rows?: unknown[],
) => void

class Database {
  readonly filename: string
  readonly #handle: BetterSqlite3.Database

  constructor(filename: string, _mode: number, opened: (error: Error | null) => void) {
    this.filename = filename
    this.#handle = new BetterSqlite3(filename, { timeout: 0 })
    queueMicrotask(() => opened(null))
  }

  serialize(run: () => void): void {
    run()
  }

  run(sql: string, given?: unknown, done?: Done): void {
    this.#send(sql, given, done, (statement, parameters) => {
      const { lastInsertRowid, changes } = statement.run(...parameters)
      return [{ lastID: Number(lastInsertRowid), changes }, undefined]
    })
  }

  all(sql: string, given?: unknown, done?: Done): void {
    this.#send(
      sql,
      given,
      done,
      (statement, parameters) => (statement.run(...parameters), [{}, []]),
    )
  }

  close(done?: (error: Error | null) => void): void {
    this.#handle.close()
    done?.(null)
  }

  #send(
    sql: string,
    given: unknown,
    called: Done | undefined,
    send: (
      statement: BetterSqlite3.Statement,
      parameters: unknown[],
    ) => readonly [{ lastID?: number; changes?: number }, unknown[] | undefined],
  ): void {
    const done = typeof given === 'function' ? (given as Done) : called
    const parameters =
      typeof given !== 'object' || given === null
        ? []
        : Array.isArray(given)
          ? given
          : [
              Object.fromEntries(
                Object.entries(given).map(([name, value]) => [
                  name.replace(/^\$/, ''),
                  value as unknown,
                ]),
              ),
            ]
    const until = Date.now() + BUSY_TIMEOUT
    const attempt = (): void => {
      let answer: ReturnType<typeof send>
      try {
        const statement = this.#handle.prepare(sql)
        answer = statement.reader ? [{}, statement.all(...parameters)] : send(statement, parameters)
      } catch (error) {
        const { code, message } = error as { code?: string; message: string }
        if (code === 'SQLITE_BUSY' && Date.now() < until) return void setTimeout(attempt, 5)
        const told = Object.assign(new Error(`${code}: ${message}`), {
          code: code?.startsWith('SQLITE_CONSTRAINT') ? 'SQLITE_CONSTRAINT' : code,
          errno: 1,
        })
        return done?.call({}, told)
      }
      done?.call(answer[0], null, answer[1])
    }
    setImmediate(attempt)
  }
}

export const sqlite3 = { OPEN_READWRITE: 2, OPEN_CREATE: 4, Database }
