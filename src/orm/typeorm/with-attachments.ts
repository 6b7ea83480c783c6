import type { AnyAttachments } from '../../attached/definitions.ts'
import { insertMixin, type DecoratedClass } from '../insert-mixin.ts'
import { hasMethod } from '../object-guards.ts'
import { patchMethod } from '../patch-method.ts'
import { forgetPreloaded } from '../preloaded.ts'
import { mixInAttachments, type Constructor, type WithAttachments } from '../with-attachments.ts'
import { idOf } from './records.ts'
import { patchManager } from './save-manager.ts'
import { transactionOf } from './transactions.ts'

/**
 * Creates a base class for entities. `user.photoTmp = file` is attached in the background when the
 * entity is saved, and `user.photo` is the attachment's handle. Pass the same object to
 * createActiveStorage. Do not declare fields of these names. Throws ConfigurationError if `base`
 * has attachments that are missing here.
 *
 * @example
 * const { withAttachments } = await import('activestorage-delayed/typeorm')
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
export function withAttachments<D extends AnyAttachments>(
  attachments: D,
  base: Constructor = class {},
): Constructor<WithAttachments<D>> {
  patchManager()
  const mixed = mixInAttachments(attachments, base, { idOf, transactionOf })
  // BaseEntity's reload() changes what was preloaded with the entity.
  if (hasMethod(mixed.prototype, 'reload'))
    patchMethod<object>(
      mixed.prototype,
      'reload',
      (reload) =>
        async function (...given) {
          const reloaded = await Reflect.apply(reload, this, given)
          forgetPreloaded(this)
          return reloaded
        },
    )
  return mixed
}

/**
 * Applies `withAttachments` as a class decorator, in both forms of decorators. An interface beside
 * the class types it. Throws ConfigurationError for a class that has members of these names.
 *
 * @example
 * const { HasAttachments } = await import('activestorage-delayed/typeorm')
 * interface User extends WithAttachments<typeof userAttachments> {}
 * @HasAttachments(userAttachments)
 * class User {
 *   id!: string
 *   name!: string
 * }
 * type WithAttachments<D> = import('activestorage-delayed/typeorm').WithAttachments<D>
 */
export function HasAttachments<D extends AnyAttachments>(
  attachments: D,
): (target: DecoratedClass<WithAttachments<D>>) => void {
  return (target) =>
    insertMixin(target, Object.keys(attachments), (base) => withAttachments(attachments, base))
}
