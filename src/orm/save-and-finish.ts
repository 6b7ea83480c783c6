import type { Submitted } from '../delayed/direct.ts'
import type { BoundModel } from './bound.ts'

/** What a transaction of a binding's own has attached directly. */
type Waiting = Map<BoundModel, Submitted[]>

const waiting = new WeakMap<object, Waiting>()

/**
 * Saves in a transaction of the binding's own, which `save` names when it has begun, as an element of the `chain` that its records
 * are submitted with. When it is committed and its connection is free again, waits until what was assigned directly is attached.
 * Throws AttachPendingError: the records are saved then.
 */
export async function saveAndFinish<T>(
  save: (begun: (transaction: object | undefined) => void) => Promise<T>,
): Promise<T> {
  const all: Waiting = new Map()
  const saved = await save((transaction) => {
    if (transaction !== undefined) waiting.set(transaction, all)
  })
  await Promise.all([...all].map(([model, uploads]) => model.finish(uploads)))
  return saved
}

/** `add` of what was submitted in a transaction: whoever opened it waits for it, if that is a binding. */
export function collectInto(
  chain: readonly object[],
  model: BoundModel,
): (upload: Submitted) => void {
  const all = chain
    .map((transaction) => waiting.get(transaction))
    .find((found) => found !== undefined)
  return (upload) => {
    if (all !== undefined) all.set(model, [...(all.get(model) ?? []), upload])
  }
}
