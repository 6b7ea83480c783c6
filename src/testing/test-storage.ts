import type { DatabaseSync } from 'node:sqlite'
import { createActiveStorage, type ActiveStorage } from '../active-storage.ts'
import type { Models } from '../attached/definitions.ts'
import { sqlite } from '../database/sqlite.ts'
import type { ImageProcessor } from '../representations/image-processor.ts'
import { memory, type MemoryService } from '../services/memory.ts'
import { faulty, type FaultyService } from './faulty.ts'

export interface TestStorageOptions {
  /** Names that definitions ask for with `service`; all are the one service. */
  readonly services?: readonly string[]
  /** For definitions with `variantInfo`. */
  readonly images?: ImageProcessor
  /** Default: what hooks get is `{ type, id }`. */
  readonly findRecord?: Readonly<Record<string, (id: string) => unknown>>
}

export interface TestStorage<M extends Models> {
  readonly storage: ActiveStorage<M, DatabaseSync>
  readonly service: FaultyService & Pick<MemoryService, 'objects'>
}

/**
 * A storage for an app's own tests: a database and a service in memory, migrated; retries are due at once. Close it
 * with `storage.close()`.
 *
 * @example
 * const { storage, service } = await testStorage({ User: userAttachments })
 * await storage.record('User', 1).photo.attachLater(new File(['x'], 'x.png'))
 * await storage.drain({ throwOnError: true })
 * assert.equal(service.objects.size, 1)
 */
export async function testStorage<const M extends Models>(models: M, options: TestStorageOptions = {}): Promise<TestStorage<M>> {
  const objects = memory()
  const service = { ...faulty(objects), objects: objects.objects }
  const config = {
    database: sqlite(':memory:'),
    services: Object.fromEntries(['test', ...(options.services ?? [])].map((name) => [name, service])),
    service: 'test',
    models,
    secretKeyBase: 'a secret of the tests',
    retries: { minDelay: '1ms', maxDelay: '1ms' },
    logger: false,
    ...(options.images === undefined ? {} : { images: options.images }),
    ...(options.findRecord === undefined ? {} : { findRecord: options.findRecord }),
  }
  const storage = createActiveStorage(config as never) as unknown as ActiveStorage<M, DatabaseSync>
  await storage.migrate()
  return { storage, service }
}
