import { ConfigurationError } from '../errors/errors.ts'
import { parseDuration, type Duration } from '../options/units.ts'

/**
 * Options of saves with `photo: file` whose transaction the ORM's binding opens. The record is
 * saved and the upload goes on in either case.
 */
export interface DirectAttachOptions {
  /** How long the save waits until the file is attached. Default '30s'. */
  readonly timeout?: Duration
  /**
   * Decides how the save ends if the file is not attached by then, or its service failed: 'throw'
   * (default) rejects it with AttachPendingError, as Rails does; 'background' resolves it.
   */
  readonly onFailure?: 'throw' | 'background'
}

/** `DirectAttachOptions` with defaults. */
export interface DirectWaitOptions {
  /** Milliseconds. */
  readonly timeout: number
  readonly onFailure: 'throw' | 'background'
}

/** Fills in the defaults. Throws ConfigurationError for a wrong value. */
export function readDirectAttachOptions({
  timeout = '30s',
  onFailure = 'throw',
}: DirectAttachOptions = {}): DirectWaitOptions {
  if (!['throw', 'background'].includes(onFailure))
    throw new ConfigurationError(
      `createActiveStorage: direct.onFailure is '${String(onFailure)}'. Give 'throw' or 'background'.`,
    )
  return { timeout: parseDuration(timeout, 'direct.timeout'), onFailure }
}
