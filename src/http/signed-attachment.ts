import { readTokenId } from '../attached/signed-tokens.ts'
import type { AttachmentDefinition, StorageContext } from '../attached/context.ts'
import { notFound } from './responses.ts'

/** The attachment that a page was made for. */
export interface SignedAttachment {
  /** `Model.attachment`. */
  readonly qualifiedName: string
  readonly name: string
  readonly definition: AttachmentDefinition
}

/** Throws the answer 404 for a token that is not ours, or is too old. */
export function readAttachmentToken(context: StorageContext, token: string): SignedAttachment {
  const slot = readTokenId(context, 'attachment', token) ?? ''
  const at = slot.lastIndexOf('.')
  const name = slot.slice(at + 1)
  const definition = context.models.get(slot.slice(0, Math.max(0, at)))?.get(name)
  if (definition === undefined) throw notFound()
  return { qualifiedName: slot, name, definition }
}
