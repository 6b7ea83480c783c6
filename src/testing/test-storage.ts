import { DatabaseSync } from 'node:sqlite'
import type { Awaitable } from '../async/awaitable.ts'
import { createActiveStorage } from '../storage/create-active-storage.ts'
import type { ActiveStorage } from '../storage/active-storage.ts'
import type { Models } from '../attached/definitions.ts'
import type { ConfigWithFinders } from '../configuration/config.ts'
import { sqlite } from '../database/sqlite.ts'
import { memory, type MemoryService } from '../services/memory.ts'
import { createClock, type TestClock } from './clock.ts'
import { faulty, type FaultyService } from './faulty.ts'

type PassedConfig = Pick<
  ConfigWithFinders<Models, string, DatabaseSync, false>,
  'authorize' | 'images' | 'recordId' | 'staging' | 'failed' | 'jobs' | 'logger'
>

/** Options of `testStorage`. */
export interface TestStorageOptions extends PassedConfig {
  /** Service names that attachments ask for. All are the one service. */
  readonly services?: readonly string[]
  /** Loads the records for hooks, by model. Default: hooks get `{ type, id }`. */
  readonly findRecord?: Readonly<
    Record<string, (id: string) => Awaitable<object | null | undefined>>
  >
  /**
   * Default: a retry is due after a millisecond, so often in the same drain. Set `minDelay` to test
   * one attempt, or the waiting itself with `clock`.
   */
  readonly retries?: ConfigWithFinders<Models, string, DatabaseSync, false>['retries']
}

/** Result of `testStorage`. */
export interface TestStorage<M extends Models> {
  /** The storage, on the database and the service of the test. */
  readonly storage: ActiveStorage<M, DatabaseSync>
  /** The one service of all attachments; `objects` by key. */
  readonly service: FaultyService & Pick<MemoryService, 'objects'>
  /** The clock that deadlines are compared with. */
  readonly clock: TestClock
  /** Database of the test, for tables of the app's own too. `storage.transaction` hands it over. */
  readonly database: DatabaseSync
}

/**
 * Creates a storage for an app's own tests: a database and a service in memory, migrated. Retries
 * are due at once. Close it with `storage.close()`.
 *
 * @example
 * const { storage, service } = await testStorage({ User: userAttachments })
 * await storage.record('User', 1).photo.attachLater(new File(['x'], 'x.png'))
 * await storage.drain({ throwOnError: true })
 * assert.equal(service.objects.size, 1)
 */
export async function testStorage<const M extends Models>(
  models: M,
  options?: TestStorageOptions,
): Promise<TestStorage<M>>
export async function testStorage(
  models: Models,
  options: TestStorageOptions = {},
): Promise<TestStorage<Models>> {
  const { services = [], retries, ...passed } = options
  const objects = memory()
  const service = { ...faulty(objects), objects: objects.objects }
  const database = new DatabaseSync(':memory:')
  database.exec('pragma foreign_keys = on')
  const storage = createActiveStorage({
    logger: false,
    ...passed,
    retries: { minDelay: '1ms', maxDelay: retries?.minDelay ?? '1ms', ...retries },
    database: sqlite(database),
    services: Object.fromEntries(['test', ...services].map((name) => [name, service])),
    service: 'test',
    models,
    secretKeyBase: 'a secret of the tests',
  })
  const clock = createClock(database)
  await storage.migrate()
  return { storage, service, clock, database }
}
