import type { AnyAttachments } from '../../attached/definitions.ts'
import { insertMixin, type DecoratedClass } from '../insert-mixin.ts'
import { mixInAttachments, type Constructor } from '../with-attachments.ts'
import { idOf, transactionOf } from './records.ts'
import { patchManager } from './save-manager.ts'
import type { WithAttachments } from './types.ts'

/**
 * Creates a base class for entities. `user.photoTmp = file` is attached in the background when the
 * entity is flushed, and `user.photo` is the attachment's handle. Pass the same object to
 * createActiveStorage. Do not declare fields of these names. Throws ConfigurationError if `base`
 * has attachments that are missing here.
 *
 * @example
 * const { withAttachments } = await import('activestorage-delayed/mikro-orm')
 * class User extends withAttachments(userAttachments) {
 *   id!: string
 *   name!: string
 * }
 */
export function withAttachments<D extends AnyAttachments>(
  attachments: D,
): Constructor<WithAttachments<D>>
/** Extends a base class of the app, such as BaseEntity. */
export function withAttachments<D extends AnyAttachments, B extends Constructor>(
  attachments: D,
  base: B,
): B & Constructor<WithAttachments<D>>
export function withAttachments(
  attachments: AnyAttachments,
  base: Constructor = class {},
): Constructor {
  patchManager()
  return mixInAttachments(attachments, base, { idOf, transactionOf })
}

/**
 * Applies `withAttachments` as a class decorator, in both forms of decorators. An interface beside
 * the class types it. Throws ConfigurationError for a class that has members of these names.
 *
 * @example
 * const { HasAttachments } = await import('activestorage-delayed/mikro-orm')
 * interface User extends WithAttachments<typeof userAttachments> {}
 * @HasAttachments(userAttachments)
 * class User {
 *   id!: string
 *   name!: string
 * }
 * type WithAttachments<D> = import('activestorage-delayed/mikro-orm').WithAttachments<D>
 */
export function HasAttachments<D extends AnyAttachments>(
  attachments: D,
): (target: DecoratedClass<WithAttachments<D>>) => void {
  return (target) =>
    insertMixin(target, Object.keys(attachments), (base) => withAttachments(attachments, base))
}
