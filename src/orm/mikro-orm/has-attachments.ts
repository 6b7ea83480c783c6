import type { AnyAttachments } from '../../attached/definitions.ts'
import { insertMixin, type DecoratedClass } from '../insert-mixin.ts'
import { withAttachments, type Attached } from './with-attachments.ts'

/**
 * `withAttachments` as a class decorator, in both forms that decorators have; the class is typed by an interface beside it.
 * Throws ConfigurationError for a class that has members of these names.
 *
 * @example
 * const { HasAttachments } = await import('activestorage-delayed/mikro-orm')
 * interface User extends Attached<typeof userAttachments> {}
 * @HasAttachments(userAttachments)
 * class User {
 *   id!: string
 *   name!: string
 * }
 * type Attached<D> = import('activestorage-delayed/mikro-orm').Attached<D>
 */
export function HasAttachments<D extends AnyAttachments>(
  attachments: D,
): (target: DecoratedClass<Attached<D>>) => void {
  return (target) =>
    insertMixin(target, Object.keys(attachments), (base) => withAttachments(attachments, base))
}
