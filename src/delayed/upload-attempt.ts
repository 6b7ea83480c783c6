import {
  RecordNotFoundError,
  UnknownAttachmentError,
  type ActiveStorageError,
} from '../errors/errors.ts'
import { messageOf } from '../errors/message.ts'
import { uploadErrorDetails, type DelayedContext, type DelayedDefinition } from './context.ts'
import type { UploadRow } from './upload-rows.ts'

/** The definition of an upload's attachment, and the upload's record: what its hooks need. */
export interface UploadTarget {
  readonly definition: DelayedDefinition
  /** The record that `findRecord` or the ORM returned. Never null. */
  readonly record: unknown
}

/** Reason for which an upload can neither be attached nor have its hooks run. */
export interface MissingTarget {
  readonly error: ActiveStorageError
}

/** One attempt at an upload, as each of its steps gets it. */
export interface UploadAttempt extends UploadTarget {
  readonly context: DelayedContext
  readonly upload: UploadRow
  /** Aborts when the lease is lost or the worker stops. */
  readonly signal: AbortSignal
}

/** Finds the target of an upload. Never throws: an error of `findRecord` is returned. */
export async function findTarget(
  context: DelayedContext,
  upload: UploadRow,
): Promise<UploadTarget | MissingTarget> {
  const { type, id, name } = upload.lane
  const details = uploadErrorDetails(upload)
  const definition = context.findDefinition(type, name)
  if (definition === undefined)
    return {
      error: new UnknownAttachmentError(
        `${type}.${name} is not defined in this process. Define it, or discard the upload.`,
        { details },
      ),
    }
  try {
    const record = await context.findRecord(type, id)
    if (record !== null && record !== undefined) return { definition, record }
    return {
      error: new RecordNotFoundError(
        `There is no ${type} with id ${id} (findRecord, or the ORM's class, found none). Its bytes are kept: retry the upload when the record is there, or discard it.`,
        { details },
      ),
    }
  } catch (error) {
    return {
      error: new RecordNotFoundError(
        `findRecord of ${type} threw for id ${id}: ${messageOf(error)}`,
        { details, cause: error },
      ),
    }
  }
}
