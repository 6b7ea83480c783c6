import { findRecordUploads } from '../delayed/upload-rows.ts'
import { ConfigurationError } from '../errors/errors.ts'
import { parseDuration, type Duration } from '../options/units.ts'
import type { RecordScope } from './record.ts'

/** Options of `whenAttached`. */
export interface WhenAttachedOptions {
  /** Default: `direct.timeout` of the storage, 30 s. */
  readonly timeout?: Duration
  /** Ends the wait; the upload goes on. */
  readonly signal?: AbortSignal
}

type WhenAttachedScope = Pick<RecordScope, 'context' | 'type' | 'id' | 'session' | 'loaded'>

/** Waits until the pending files of a record, or of one of its attachments, are attached. */
export async function whenAttached(
  { context, type, id, session, loaded }: WhenAttachedScope,
  name: string | undefined,
  { timeout, signal }: WhenAttachedOptions = {},
): Promise<void> {
  const details = { record: { type, id }, ...(name === undefined ? {} : { attachment: name }) }
  if (session !== null)
    throw new ConfigurationError(
      `whenAttached waits for committed files: call it on ${type} ${id} after its transaction, without { transaction }.`,
      { details },
    )
  signal?.throwIfAborted()
  const milliseconds = timeout === undefined ? undefined : parseDuration(timeout, 'timeout')
  const store = await context.store()
  const uploads = await findRecordUploads(store.session, type, [id], { name })
  const unfinished = uploads.filter(({ state }) => state !== 'attached')
  try {
    await context.waitUntilAttached(unfinished, { timeout: milliseconds, signal })
  } finally {
    loaded.current = null
  }
}
