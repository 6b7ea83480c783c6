/**
 * Types for authors of adapters: databases and ORM bindings, storage services, job queues and image
 * processors. Apps need none of them. `activestorage-delayed/testing` has a contract suite for each
 * kind.
 *
 * @module
 */
export type {
  Database,
  Dialect,
  OpenTransaction,
  RecordSource,
  ReservedConnection,
} from './database/database.ts'
export type { Executor, Parameter, PortableExecutor, Result, Row } from './database/executor.ts'
export type { ImageProcessor } from './images/image-processor.ts'
export type { EngineWorker, EnqueueOptions, JobEngine, QueueMessage } from './jobs/engine.ts'
export type {
  DirectUploadOptions,
  Service,
  ServiceUrlOptions,
  UploadOptions,
  UploadProgress,
} from './services/service.ts'
