import type { Lane } from '../attachments/lane.ts'
import type { Session } from '../database/session.ts'
import type { Store } from '../database/store.ts'
import type { Log } from '../diagnostics/log.ts'
import type { UploadRow } from '../delayed/upload-rows.ts'
import { ConfigurationError } from '../errors/errors.ts'
import type { MessageVerifier } from '../rails/message-verifier.ts'
import type { Service } from '../services/service.ts'

/** What the handles of a record need; one for each storage. */
export interface StorageContext {
  store(): Promise<Store>
  readonly services: Readonly<Record<string, Service>>
  readonly verifier: MessageVerifier
  /** Where the app mounts the handler, without a slash at its end. */
  readonly basePath: string
  readonly log: Log
  kindOf(lane: Lane): 'one' | 'many'
  /** The last statement of a submission: workers hear of it at the commit, where the database or the queue can do that. */
  announce(session: Session, token: string): Promise<void>
  /** Jobs may be due: an in-process worker looks at once. */
  wake(): void
  /** Uploads that ended because of something newer. */
  superseded(uploads: readonly UploadRow[]): void
  /** Runs the jobs that delete the objects of blobs that were purged; what fails is left to workers. */
  deleteObjectsNow(jobKeys: readonly string[]): Promise<void>
}

/** What a signed message is for; no one is taken for another. */
export const TOKEN_PURPOSE = {
  blob: 'blob_id',
  disk: 'blob_key',
  diskUpload: 'blob_token',
  staged: 'activestorage_delayed_file',
  pending: 'activestorage_delayed_pending',
  attachment: 'activestorage_delayed_slot',
  upload: 'activestorage_delayed_upload',
} as const

/** Of a blob, or of a staged file that was sent. */
export function requireService(context: Pick<StorageContext, 'services'>, name: string): Service {
  const service = context.services[name]
  if (service === undefined)
    throw new ConfigurationError(
      `The blob is in the service '${name}', which is not among the configured ones.`,
    )
  return service
}
