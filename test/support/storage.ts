import type { TestContext } from 'node:test'
import { createActiveStorage, ServiceError, type Models } from '../../src/index.ts'
import type { Service } from '../../src/adapters.ts'
import { memory, type MemoryService } from '../../src/services/memory.ts'
import type { Database } from '../../src/adapters.ts'
import type { Kind, TestDatabase } from './databases.ts'

/** A memory service whose next uploads can be made to fail, or held at a gate. */
export interface Switchable extends Service {
  readonly objects: MemoryService['objects']
  failures: number
  final: boolean
  gate: Promise<void> | null
  uploads: number
}

export function switchable(): Switchable {
  const inner = memory()
  const service: Switchable = {
    ...inner,
    failures: 0,
    final: false,
    gate: null,
    uploads: 0,
    async upload(key, body, options) {
      service.uploads += 1
      if (service.gate !== null) await service.gate
      if (service.failures > 0) {
        service.failures -= 1
        throw service.final
          ? Object.assign(new ServiceError('refused for good'), { retryable: false })
          : new ServiceError('the service is down')
      }
      await inner.upload(key, body, options)
    },
  }
  return service
}

export const retries = { attempts: 3, minDelay: '1ms', maxDelay: '2ms' } as const

/** A migrated storage on a fresh database of the kind; closed with the test. Null: skipped. */
export async function fresh<const M extends Models>(
  context: TestContext,
  kind: Kind,
  models: M,
  options: object = {},
) {
  const made = await kind.create()
  if (made === null) {
    context.skip(`${kind.name}: ${kind.why ?? 'not to be had here'}`)
    return null
  }
  const service = switchable()
  const storage = storageOn(made.database, models, service, options)
  await storage.migrate()
  const others: { close(): Promise<void> }[] = []
  context.after(async () => {
    for (const other of others) await other.close()
    await storage.close()
    await made.close()
  })
  return {
    storage,
    service,
    made,
    /** Another process, as far as the database can tell. */
    another(more: object = {}) {
      const other = storageOn(made.another(), models, service, { ...options, ...more })
      others.push(other)
      return other
    },
  }
}

/** `options`: of the configuration, beside what all tests have, or in its place. */
export function storageOn<const M extends Models, Transaction, Given extends boolean>(
  database: Database<Transaction, Given>,
  models: M,
  service: Service,
  options: object = {},
) {
  return createActiveStorage({
    database,
    services: { test: service },
    models,
    secretKeyBase: 'a secret of the tests',
    retries,
    logger: false,
    ...options,
  } as never) as unknown as Storage<M>
}

export type Storage<M extends Models> = import('../../src/index.ts').ActiveStorage<M, never>
export type { TestDatabase }

export const text = (content: string, name: string = `${content}.txt`): File =>
  new File([content], name)
