import type { LucidModel, LucidRow } from '@adonisjs/lucid/types/model'
import type { AnyAttachments } from '../../attached/definitions.ts'
import { insertMixin, type DecoratedClass } from '../insert-mixin.ts'
import { withAttachments, type Attached } from './with-attachments.ts'

/**
 * `withAttachments` as a class decorator, in both forms that decorators have; the class is typed by an interface beside it.
 * Throws ConfigurationError for a class that has members of these names.
 *
 * @example
 * const { BaseModel } = await import('@adonisjs/lucid/orm')
 * const { HasAttachments } = await import('activestorage-delayed/lucid')
 * interface User extends Attached<typeof userAttachments> {}
 * @HasAttachments(userAttachments)
 * class User extends BaseModel {
 *   declare id: number
 *   declare name: string
 * }
 * type Attached<D> = import('activestorage-delayed/lucid').Attached<D>
 */
export function HasAttachments<D extends AnyAttachments>(
  attachments: D,
): (target: DecoratedClass<LucidRow & Attached<D>>) => void {
  return (target) =>
    insertMixin(target, Object.keys(attachments), (base) =>
      withAttachments(attachments, base as unknown as LucidModel),
    )
}
