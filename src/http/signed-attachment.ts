import type { AttachmentDefinition, StorageContext } from '../attached/context.ts'
import { readTokenId } from '../attached/signed-tokens.ts'
import { notFound } from './responses.ts'

/** The attachment that a page may upload files for. */
export interface SignedAttachment {
  /** `Model.attachment`. */
  readonly qualifiedName: string
  readonly model: string
  readonly name: string
  readonly definition: AttachmentDefinition
}

/** Reads the token of an upload path. Throws the response 404 for an invalid or expired one. */
export function readAttachmentToken(context: StorageContext, token: string): SignedAttachment {
  const qualifiedName = readTokenId(context, 'attachment', token) ?? ''
  const dot = qualifiedName.lastIndexOf('.')
  const name = qualifiedName.slice(dot + 1)
  const model = qualifiedName.slice(0, Math.max(0, dot))
  const definition = context.models.get(model)?.get(name)
  if (definition === undefined) throw notFound()
  return { qualifiedName, model, name, definition }
}
