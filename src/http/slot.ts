import { PURPOSE } from '../attached/context.ts'
import type { SlotDefinition } from '../attached/scope.ts'
import { notFound } from './answer.ts'
import type { HttpContext } from './context.ts'

/** The attachment that a page was made for. */
export interface SignedSlot {
  /** `Model.attachment`. */
  readonly slot: string
  readonly name: string
  readonly definition: SlotDefinition
}

/** Throws the answer 404 for a token that is not ours, or is too old. */
export function slotIn(context: HttpContext, token: string): SignedSlot {
  const signed = context.verifier.verify(token, { purpose: PURPOSE.slot })
  const slot = signed === null || signed.expired === true ? '' : String(signed.value)
  const at = slot.lastIndexOf('.')
  const name = slot.slice(at + 1)
  const definition = context.models.get(slot.slice(0, Math.max(0, at)))?.get(name)
  if (definition === undefined) throw notFound()
  return { slot, name, definition }
}
