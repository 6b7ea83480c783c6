import { describeLane, lockLanes } from '../attachments/lane.ts'
import { abandonObject } from '../blobs/object-intents.ts'
import { link } from '../delayed/link.ts'
import { deleteChunksOfFile, readStaged } from '../staging/chunks.ts'
import { findFiles, type FileRow } from '../staging/file-rows.ts'
import { attachStored } from './attach-stored.ts'
import { readChanges } from './changes.ts'
import { resolveInputs, stageResolved, uploadInput, type ResolvedInput } from './inputs.ts'
import { runChange, type AttachmentScope } from './scope.ts'
import { toAttachment } from './stored-values.ts'
import {
  dropStagedFiles,
  hasChanges,
  planSubmission,
  type PreparedSubmission,
  type StoredObject,
} from './submission.ts'
import type { AttachOptions } from './submit.ts'
import type { Attachment } from './values.ts'

/**
 * Implements `attach`: uploads bytes now and attaches them. Inside a user's transaction bytes are
 * staged, and this process uploads them after the commit; they are not in the result.
 */
export async function attach(
  scope: AttachmentScope,
  input: unknown,
  { signal }: AttachOptions = {},
): Promise<Attachment[]> {
  const { context, lane } = scope
  const changes = readChanges(input, scope.definition.kind, describeLane(lane))
  const resolved = await resolveInputs(scope, changes)
  const stored: StoredObject[] = []
  const stagedHere: FileRow[] = []
  try {
    const later: ResolvedInput[] = []
    for (const each of resolved) {
      const object = await storeInput(scope, each, signal)
      if (object === null) later.push(each)
      else stored.push(object)
    }
    const fileIds = await stageResolved(scope, later, stagedHere, signal)
    const submission = { scope, changes, fileIds, stagedHere, stored }
    if (!hasChanges(submission)) return []
    signal?.throwIfAborted()
    return await attachSubmission(submission)
  } catch (error) {
    const { session } = await context.store()
    for (const { kind, blob } of stored)
      if (kind === 'object')
        await abandonObject(session, blob.serviceName, blob.key).catch(() => undefined)
    await dropStagedFiles(scope, stagedHere, error, signal)
    throw error
  }
}

async function attachSubmission(submission: PreparedSubmission): Promise<Attachment[]> {
  const { scope, stored } = submission
  const { context, lane } = scope
  const rows = await runChange(scope, async (change) => {
    const { session } = change
    const lock = await lockLanes(session, [lane])
    const plan = await planSubmission(session, submission, lock)
    const linked = await link(session, plan)
    if (linked !== null) {
      await context.notifyWorkers(session, [linked.token])
      scope.startAtCommit({ token: linked.token, lane })
    }
    return attachStored(change, scope, stored, plan)
  })
  const { session } = await context.store()
  for (const object of stored)
    if (object.kind === 'object' && object.staged !== null)
      await deleteChunksOfFile(session, object.staged)
  if (scope.session === null) await context.touch(lane.type, lane.id)
  return rows.map((row) => toAttachment(scope, row))
}

/**
 * Uploads a file to its service. null: it is not uploaded now, because it is in a user's
 * transaction or was submitted before.
 */
async function storeInput(
  scope: AttachmentScope,
  input: ResolvedInput,
  signal: AbortSignal | undefined,
): Promise<StoredObject | null> {
  if (input.kind === 'blob') return { kind: 'blob', blob: input.blob }
  if (scope.session !== null) return null
  if (input.kind === 'bytes')
    return { kind: 'object', blob: await uploadInput(scope, input.file, signal), staged: null }
  const store = await scope.context.store()
  const [staged] = await findFiles(store.session, [input.id])
  if (staged === undefined || staged.state !== 'staged' || staged.uploadToken !== null) return null
  const file = {
    filename: staged.filename,
    declaredType: staged.contentType,
    open: () => readStaged(store, staged, signal),
  }
  return { kind: 'object', blob: await uploadInput(scope, file, signal), staged }
}
