// Names that the examples of the docs use without a declaration, because their page or their
// reader's app has them.
import type * as core from 'activestorage-delayed'
import type * as adapters from 'activestorage-delayed/adapters'
import type { PgClient } from 'activestorage-delayed/postgres'
import type * as testing from 'activestorage-delayed/testing'

declare global {
  const createActiveStorage: typeof core.createActiveStorage
  const hasOneAttached: typeof core.hasOneAttached
  const hasManyAttached: typeof core.hasManyAttached
  const sqlite: typeof import('activestorage-delayed/sqlite').sqlite
  const postgres: typeof import('activestorage-delayed/postgres').postgres
  const mysql: typeof import('activestorage-delayed/mysql').mysql
  const disk: typeof import('activestorage-delayed/services/disk').disk
  const memory: typeof testing.memory
  const s3: typeof import('activestorage-delayed/services/s3').s3
  const testStorage: typeof testing.testStorage
  const faulty: typeof testing.faulty
  const killAt: typeof testing.killAt
  const databaseContract: typeof testing.databaseContract
  const assert: typeof import('node:assert/strict')

  const models: {
    User: { photo: core.HasOneAttached<unknown>; certificates: core.HasManyAttached<unknown> }
  }
  const userAttachments: (typeof models)['User']
  const database: adapters.Database<PgClient>
  const services: Record<'local', adapters.Service>
  const storage: core.ActiveStorage<typeof models, PgClient>
  const service: testing.TestStorage<typeof models>['service']
  const clock: testing.TestClock
  const client: PgClient
  const id: number
  const file: File
  const pdf: File
  const objects: readonly {
    id: number
    key: string
    filename: string
    byte_size: number
    md5: string
  }[]
  const url: string
  const path: string

  type JobEngine = adapters.JobEngine

  function myService(): adapters.Service
  function myDatabase(url: string): adapters.Database<never>
  function dropIt(): Promise<void>
  function waitUntil(promise: Promise<unknown>): void
  const server: { close(): void }
  const queue: { add(name: string, job: object): Promise<void> }
  const db: PgClient
  const upload: { single(name: string): unknown }
  /** express, and hono. */
  // oxlint-disable typescript/no-explicit-any -- as their examples take it
  const app: {
    post(path: string, parser: unknown, handler: (req: any, res: any) => unknown): void
    get(path: string, handler: (c: any) => unknown): void
  }
  // oxlint-enable typescript/no-explicit-any
}
