import { ConfigurationError } from '../errors/errors.ts'
import { parseDuration, type Duration } from '../options/units.ts'

/**
 * Of a save that brings `photo = file`, where the ORM's binding opens the transaction: the record is saved and the upload goes on in
 * either case.
 */
export interface DirectOptions {
  /** How long the save waits until the file is attached. Default '30s'. */
  readonly timeout?: Duration
  /**
   * When it is not attached by then, or its service failed: 'throw' (default) rejects the save with AttachPendingError, as Rails does;
   * 'background' resolves it.
   */
  readonly onFailure?: 'throw' | 'background'
}

/** With defaults. */
export interface DirectWaitOptions {
  /** Milliseconds. */
  readonly timeout: number
  readonly onFailure: 'throw' | 'background'
}

export function readDirectOptions({
  timeout = '30s',
  onFailure = 'throw',
}: DirectOptions = {}): DirectWaitOptions {
  if (!['throw', 'background'].includes(onFailure))
    throw new ConfigurationError(
      `createActiveStorage: direct.onFailure is '${String(onFailure)}': throw or background.`,
    )
  return { timeout: parseDuration(timeout, 'direct.timeout'), onFailure }
}
