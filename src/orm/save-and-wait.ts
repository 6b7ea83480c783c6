import type { SubmittedUpload } from '../delayed/direct-attaches.ts'
import type { StorageModel } from './model-registry.ts'

/** The uploads of direct attaches in one transaction. */
type UploadsByModel = Map<StorageModel, SubmittedUpload[]>

const uploadsByTransaction = new WeakMap<object, UploadsByModel>()

/**
 * Runs a save that opens a transaction of its own, then waits until the files that were assigned
 * directly are attached. `save` calls `onBegin` with the first token of the transaction's chain, as
 * soon as there is one. Throws AttachPendingError; the records are saved then.
 */
export async function saveAndWait<T>(
  save: (onBegin: (transaction: object | undefined) => void) => Promise<T>,
): Promise<T> {
  const uploads: UploadsByModel = new Map()
  const saved = await save((transaction) => {
    if (transaction !== undefined) uploadsByTransaction.set(transaction, uploads)
  })
  // The transaction is committed and its connection is free again.
  await Promise.all([...uploads].map(([model, submitted]) => model.waitAfterSave(submitted)))
  return saved
}

/**
 * Returns the function that hands an upload to the `saveAndWait` around it. In a transaction of
 * the app it does nothing.
 */
export function collectUploads(
  chain: readonly object[],
  model: StorageModel,
): (upload: SubmittedUpload) => void {
  const uploads = chain
    .map((transaction) => uploadsByTransaction.get(transaction))
    .find((found) => found !== undefined)
  return (upload) => {
    uploads?.set(model, [...(uploads.get(model) ?? []), upload])
  }
}
