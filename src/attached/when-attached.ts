import { findRecordUploads } from '../delayed/upload-rows.ts'
import { ConfigurationError } from '../errors/errors.ts'
import { parseDuration, type Duration } from '../options/units.ts'
import type { RecordScope } from './record.ts'

/** Of `whenAttached`. */
export interface WhenAttachedOptions {
  /** Default: `direct.timeout` of the storage, 30 s. */
  readonly timeout?: Duration
}

type WhenAttachedScope = Pick<RecordScope, 'context' | 'type' | 'id' | 'session' | 'loaded'>

/** Finishes what is on its way to a record, or to one of its attachments. */
export async function whenAttached(
  { context, type, id, session, loaded }: WhenAttachedScope,
  name: string | undefined,
  { timeout }: WhenAttachedOptions = {},
): Promise<void> {
  const details = { record: { type, id }, ...(name === undefined ? {} : { attachment: name }) }
  if (session !== null)
    throw new ConfigurationError(
      `whenAttached() waits for what is committed: call it on ${type} ${id} after its transaction, without { transaction }.`,
      { details },
    )
  const milliseconds = timeout === undefined ? undefined : parseDuration(timeout, 'timeout')
  const store = await context.store()
  const uploads = await findRecordUploads(store.session, type, [id], name)
  const unfinished = uploads.filter(({ state }) => state !== 'attached')
  try {
    await context.finish(unfinished, milliseconds)
  } finally {
    loaded.current = null
  }
}
