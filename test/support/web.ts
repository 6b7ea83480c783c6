// A storage whose handler gets requests directly, and the relevant parts of its responses.
import type { TestContext } from 'node:test'
import { sqlite } from '../../src/database/sqlite.ts'
import { hasManyAttached, hasOneAttached } from '../../src/index.ts'
import type { Database } from '../../src/adapters.ts'
import { memory } from '../../src/services/memory.ts'
import { storageOn } from './storage.ts'

export const webModels = {
  User: {
    photo: hasOneAttached({ accept: ['image/*', 'text/plain'], maxSize: '1 MB' }),
    certificates: hasManyAttached({ maxFiles: 3 }),
  },
}

export async function web(t: TestContext, options: object = {}) {
  const database = sqlite(':memory:') as unknown as Database<never>
  const service = memory()
  const storage = storageOn(database, webModels, service, options)
  await storage.migrate()
  t.after(() => storage.close())
  const query = async (sql: string) => (await database.executor.run(sql, [])).rows
  return {
    storage,
    service,
    database,
    query,
    ask: asking(storage),
    user: storage.record('User', 1),
  }
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  json(): Record<string, unknown>
}

/** Asks a storage's handler, and reads the whole answer. */
export function asking(storage: { handler(request: Request): Promise<Response> }) {
  return async (
    path: string,
    init: RequestInit & { readonly duplex?: 'half' } = {},
  ): Promise<Answer> => {
    const response = await storage.handler(new Request(new URL(path, 'http://app.test'), init))
    const text = await response.text()
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: () => JSON.parse(text) as Record<string, unknown>,
    }
  }
}
