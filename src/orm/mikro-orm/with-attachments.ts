import type { Opt } from '@mikro-orm/core'
import type { AnyAttachments } from '../../attached/definitions.ts'
import { mixin, type Constructor, type WithAttachments } from '../with-attachments.ts'
import { idOf, transactionOf } from './entities.ts'

/** What `withAttachments` gives entities; none of it is asked for by `em.create`. */
export type Attached<D> = { [K in keyof WithAttachments<D>]: WithAttachments<D>[K] & Opt.Brand } & WithAttachments<D>

/**
 * A base class for entities: `user.photoTmp = file` is attached in the background when the entity is flushed, `user.photo` is
 * what is attached. Pass the same object to createActiveStorage. Do not declare fields of these names.
 *
 * @example
 * const { withAttachments } = await import('activestorage-delayed/mikro-orm')
 * class User extends withAttachments(userAttachments) {
 *   id!: string
 *   name!: string
 * }
 */
export function withAttachments<D extends AnyAttachments>(attachments: D): Constructor<Attached<D>>
/** Over a base of the app's own, such as BaseEntity. */
export function withAttachments<D extends AnyAttachments, B extends Constructor>(attachments: D, base: B): B & Constructor<Attached<D>>
export function withAttachments<D extends AnyAttachments>(attachments: D, base: Constructor = class {}): Constructor<Attached<D>> {
  return mixin(attachments, base, { idOf, transactionOf }) as unknown as Constructor<Attached<D>>
}
