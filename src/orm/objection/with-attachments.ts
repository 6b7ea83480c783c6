import type { Model } from 'objection'
import type { AnyAttachments } from '../../attached/definitions.ts'
import { mixInAttachments, type Constructor, type WithAttachments } from '../with-attachments.ts'
import { idOf, transactionOf } from './records.ts'
import { createModelWithFiles } from './save-class.ts'
import type { RecordWithFiles } from './types.ts'

/**
 * Creates a base class for models. `photoTmp` in an insert or a patch is attached in the
 * background, and `user.photo` is the attachment's handle. Pass the same object to
 * createActiveStorage, and `Model`, or a base of the app's own, as the second argument.
 *
 * @example
 * const { Model } = await import('objection')
 * const { withAttachments } = await import('activestorage-delayed/objection')
 * class User extends withAttachments(userAttachments, Model) {
 *   static override tableName = 'users'
 *   declare id: string
 *   declare name: string
 * }
 * const user = await User.query().insert({ name: 'Ada', photoTmp: file })
 */
export function withAttachments<D extends AnyAttachments, B extends typeof Model>(
  attachments: D,
  base: B,
): B & Constructor<RecordWithFiles<D> & WithAttachments<D>>
export function withAttachments(attachments: AnyAttachments, base: typeof Model): typeof Model {
  const model = createModelWithFiles(attachments, base)
  return mixInAttachments(attachments, model, { idOf, transactionOf })
}
