/**
 * Types for authors of adapters: databases and ORM bindings, storage services, job queues and image
 * processors, and the checks that the services have in common. Apps need none of them.
 * `activestorage-delayed/testing` has contract suites for services, databases and job queues.
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
export { checkKey } from './services/object-key.ts'
export { checkRange } from './services/range.ts'
export type {
  Abortable,
  DirectUploadOptions,
  DownloadOptions,
  Service,
  ServiceUrlOptions,
  UploadOptions,
  UploadProgress,
} from './services/service.ts'
export { verifyBytes } from './services/verify-bytes.ts'
