export { createActiveStorage } from './storage/create-active-storage.ts'
export type { ActiveStorage, Id } from './storage/active-storage.ts'
export type {
  FailedUploadStatus,
  GemRowStatus,
  ServiceOutage,
  StorageStatus,
} from './storage/status.ts'
export type { WorkerStatus } from './jobs/worker-rows.ts'
export type { JobCount } from './jobs/job-rows.ts'
export type { OldTransaction } from './database/old-transaction.ts'
export type { DrainOptions, DrainResult } from './background/drain.ts'
export type { Worker, WorkerOptions } from './background/worker.ts'
export type { ActiveStorageConfig } from './configuration/config.ts'
export type { Logger } from './configuration/logger.ts'
export type { Concurrency } from './delayed/concurrency-limits.ts'
export type { ServiceTimeouts } from './services/timeouts.ts'
export type { Blobs } from './attached/blobs.ts'
export type { DelayedUploads } from './attached/delayed-uploads.ts'
export type { DelayedUploadFilter } from './attached/upload-filter.ts'
export { hasManyAttached, hasOneAttached } from './attached/definitions.ts'
export type {
  AnyAttachments,
  Attachments,
  HasManyAttached,
  HasManyOptions,
  HasOneAttached,
  HasOneOptions,
  ErrorHookContext,
  HookContext,
  HookFile,
  Models,
  RecordOf,
} from './attached/definitions.ts'
export type { PathOptions } from './attached/paths.ts'
export { StagedFile } from './attached/staged-file.ts'
export type {
  Attachable,
  NoFile,
  FastifyFile,
  Formidable1File,
  FormidableFile,
  ManyChanges,
  ManyInput,
  MulterFile,
  OneInput,
  Source,
} from './attached/attachable.ts'
export type { PurgeOptions } from './attached/remove.ts'
export type { AttachOptions } from './attached/submit.ts'
export type { WhenAttachedOptions } from './attached/when-attached.ts'
export type {
  FilesByName,
  ManyAttached,
  OneAttached,
  RecordAttachments,
  Attached,
  AttachedByName,
} from './attached/record.ts'
export type {
  WithUrl,
  Attachment,
  DelayedFile,
  DelayedUpload,
  ReadableFile,
  RecordRef,
  FileInfo,
  StoredBlob,
  StreamOptions,
  UrlOptions,
} from './attached/values.ts'
export type { Authorize, AuthorizeSubject } from './attached/context.ts'
export type { HiddenField } from './http/forms/hidden-fields.ts'
export type { FormRequest, NodeRequest } from './http/request-body.ts'
export type { AfterRefusalOptions } from './http/after-refusal.ts'
export type { FormLimits } from './http/forms/limits.ts'
export type { ReconcileResult, ReconcileOptions } from './attached/reconcile.ts'
export type { ParsedForm, ParseForm, ParseFormOptions } from './http/forms/parse-form.ts'
export type { FileSnapshot, UploadSnapshot } from './attached/upload-snapshot.ts'
export type { TableOptions } from './database/schema.ts'
export type { AttachmentHooks, Constructor, WithAttachments } from './orm/with-attachments.ts'
export type { DirectAttachOptions } from './delayed/direct-attach-options.ts'
export type { Stats } from './delayed/stats.ts'
export type { Transformation } from './images/image-processor.ts'
export type { Duration, Size } from './options/units.ts'
export * from './errors/errors.ts'
export { publicErrorOf, type PublicError } from './errors/public-error.ts'
