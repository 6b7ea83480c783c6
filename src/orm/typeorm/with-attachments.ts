import type { AnyAttachments } from '../../attached/definitions.ts'
import { forgetPreloaded } from '../preloaded.ts'
import { mixInAttachments, type Constructor, type WithAttachments } from '../with-attachments.ts'
import { idOf } from './records.ts'
import { patchManager } from './save-manager.ts'
import { transactionOf } from './transactions.ts'

/** What entities have by `withAttachments`. */
export type Attached<D> = WithAttachments<D>

/**
 * A base class for entities: `user.photoTmp = file` is attached in the background when the entity is saved, `user.photo` is
 * what is attached. Pass the same object to createActiveStorage. Do not declare fields of these names.
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
/** Over a base of the app's own, such as BaseEntity. */
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
  const { reload } = base.prototype as { readonly reload?: (this: object) => Promise<void> }
  if (reload !== undefined)
    // BaseEntity's: what was read with the entity is not what is there now.
    Object.defineProperty(mixed.prototype, 'reload', {
      configurable: true,
      writable: true,
      async value(this: object) {
        await reload.call(this)
        forgetPreloaded(this)
      },
    })
  return mixed
}
