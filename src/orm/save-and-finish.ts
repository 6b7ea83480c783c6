import type { SubmittedUpload } from '../delayed/direct-uploads.ts'
import type { StorageModel } from './model-registry.ts'

/** What a transaction of a binding's own has attached directly. */
type UploadsByModel = Map<StorageModel, SubmittedUpload[]>

const uploadsByTransaction = new WeakMap<object, UploadsByModel>()

/**
 * Saves in a transaction of the binding's own, which `save` names when it has begun, as an element of the `chain` that its records
 * are submitted with. When it is committed and its connection is free again, waits until what was assigned directly is attached.
 * Throws AttachPendingError: the records are saved then.
 */
export async function saveAndFinish<T>(
  save: (begun: (transaction: object | undefined) => void) => Promise<T>,
): Promise<T> {
  const all: UploadsByModel = new Map()
  const saved = await save((transaction) => {
    if (transaction !== undefined) uploadsByTransaction.set(transaction, all)
  })
  await Promise.all([...all].map(([model, uploads]) => model.finish(uploads)))
  return saved
}

/** `add` of what was submitted in a transaction: whoever opened it waits for it, if that is a binding. */
export function collectUploads(
  chain: readonly object[],
  model: StorageModel,
): (upload: SubmittedUpload) => void {
  const all = chain
    .map((transaction) => uploadsByTransaction.get(transaction))
    .find((found) => found !== undefined)
  return (upload) => {
    if (all !== undefined) all.set(model, [...(all.get(model) ?? []), upload])
  }
}
