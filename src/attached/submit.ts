import { describeLane, lockLanes } from '../attachments/lane.ts'
import type { Session } from '../database/session.ts'
import { link } from '../delayed/link.ts'
import type { LinkPlan } from '../delayed/plan-link.ts'
import { findUpload, type UploadWithFiles } from '../delayed/upload-rows.ts'
import { findFilesOfUploads, type FileRow } from '../staging/file-rows.ts'
import { attachStored } from './attach-stored.ts'
import { readChanges } from './changes.ts'
import { toDelayedUpload } from './delayed-values.ts'
import { resolveInputs, stageResolved } from './inputs.ts'
import { checkRequired } from './queries.ts'
import { runChange, type AttachmentScope, type OpenChange } from './scope.ts'
import {
  dropStagedFiles,
  hasChanges,
  planSubmission,
  type PreparedSubmission,
} from './submission.ts'
import type { DelayedUpload } from './values.ts'

/** The input of a form for one attachment. */
export interface SubmittedInput {
  readonly scope: AttachmentScope
  readonly input: unknown
}

/** Options of `attachLater` and `attach`. */
export interface AttachOptions {
  /** Ends staging and uploading; a transaction that has begun is not interrupted. */
  readonly signal?: AbortSignal
}

/** Options of one submission. */
export interface SubmitOptions extends AttachOptions {
  /**
   * Attachments of the record whose `required` is checked, also those that the form does not name.
   */
  readonly required?: readonly AttachmentScope[]
}

/**
 * Implements `attachLater` for one or several attachments of one record: stages bytes, then plans
 * all changes and writes them in one transaction. Returns an upload for each input; null: there was
 * nothing to queue.
 */
export async function attachLater(
  inputs: readonly SubmittedInput[],
  { required = [], signal }: SubmitOptions = {},
): Promise<(DelayedUpload | null)[]> {
  const [first] = inputs
  if (first === undefined) return []
  const stagedHere: FileRow[] = []
  try {
    const submissions: PreparedSubmission[] = []
    for (const input of inputs) submissions.push(await prepareSubmission(input, stagedHere, signal))
    signal?.throwIfAborted()
    return await runChange(first.scope, (change) => submit(change, submissions, required))
  } catch (error) {
    await dropStagedFiles(first.scope, stagedHere, error, signal)
    throw error
  }
}

/**
 * Stages the bytes of one input. Adds the rows to `stagedHere` at once, so that the caller can drop
 * them after an error.
 */
async function prepareSubmission(
  { scope, input }: SubmittedInput,
  stagedHere: FileRow[],
  signal: AbortSignal | undefined,
): Promise<PreparedSubmission> {
  const changes = readChanges(input, scope.definition.kind, describeLane(scope.lane))
  const resolved = await resolveInputs(scope, changes)
  return {
    scope,
    changes,
    fileIds: await stageResolved(scope, resolved, stagedHere, signal),
    stagedHere,
    stored: resolved.filter((each) => each.kind === 'blob'),
  }
}

async function submit(
  change: OpenChange,
  submissions: readonly PreparedSubmission[],
  required: readonly AttachmentScope[],
): Promise<(DelayedUpload | null)[]> {
  const { session } = change
  const changed = submissions.filter(hasChanges)
  const lock = await lockLanes(
    session,
    changed.map(({ scope }) => scope.lane),
  )
  const plans = new Map<string, LinkPlan>()
  for (const each of changed)
    plans.set(each.scope.lane.name, await planSubmission(session, each, lock))
  for (const scope of required)
    await checkRequired(
      { ...scope, session: () => Promise.resolve(session) },
      plans.get(scope.lane.name),
    )
  const uploads: (DelayedUpload | null)[] = []
  const tokens: string[] = []
  for (const { scope, stored } of submissions) {
    const plan = plans.get(scope.lane.name)
    const linked = plan === undefined ? null : await link(session, plan)
    if (plan !== undefined) await attachStored(change, scope, stored, plan)
    if (linked !== null) tokens.push(linked.token)
    const rows = linked === null ? null : (linked.created ?? (await lockUpload(session, linked)))
    uploads.push(rows && toDelayedUpload(scope, rows.upload, rows.files))
  }
  await submissions[0]?.scope.context.notifyWorkers(session, tokens)
  return uploads
}

/**
 * Reads an upload that existed before. Locking reads show the rows of a double click's other
 * transaction.
 */
async function lockUpload(
  session: Session,
  { token }: { readonly token: string },
): Promise<UploadWithFiles | null> {
  const upload = await findUpload(session, token, { lock: true })
  return upload && { upload, files: await findFilesOfUploads(session, [token], { lock: true }) }
}
