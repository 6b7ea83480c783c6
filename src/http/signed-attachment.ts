import { TOKEN_PURPOSE } from '../attached/context.ts'
import type { AttachmentDefinition } from '../attached/scope.ts'
import { notFound } from './responses.ts'
import type { HttpContext } from './context.ts'

/** The attachment that a page was made for. */
export interface SignedAttachment {
  /** `Model.attachment`. */
  readonly qualifiedName: string
  readonly name: string
  readonly definition: AttachmentDefinition
}

/** Throws the answer 404 for a token that is not ours, or is too old. */
export function readAttachmentToken(context: HttpContext, token: string): SignedAttachment {
  const signed = context.verifier.verify(token, { purpose: TOKEN_PURPOSE.attachment })
  const slot = signed === null || signed.expired === true ? '' : String(signed.value)
  const at = slot.lastIndexOf('.')
  const name = slot.slice(at + 1)
  const definition = context.models.get(slot.slice(0, Math.max(0, at)))?.get(name)
  if (definition === undefined) throw notFound()
  return { qualifiedName: slot, name, definition }
}
