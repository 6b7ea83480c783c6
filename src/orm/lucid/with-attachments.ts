import type { LucidModel, LucidRow } from '@adonisjs/lucid/types/model'
import type { AnyAttachments } from '../../attached/definitions.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { insertMixin, type DecoratedClass } from '../insert-mixin.ts'
import { hasMethod } from '../object-guards.ts'
import { mixInAttachments, type Constructor, type WithAttachments } from '../with-attachments.ts'
import { idOf, transactionOf } from './records.ts'
import { createModelWithFiles } from './save.ts'
import type { ClassWithFiles, RecordWithFiles } from './types.ts'

/**
 * Creates a base class for models. `user.photoTmp = file` is attached in the background when the
 * record is saved, and `user.photo` is the attachment's handle. Pass the same object to
 * createActiveStorage, and `BaseModel`, or a base of the app's own, as the second argument.
 *
 * @example
 * const { BaseModel } = await import('@adonisjs/lucid/orm')
 * const { withAttachments } = await import('activestorage-delayed/lucid')
 * class User extends withAttachments(userAttachments, BaseModel) {
 *   declare id: number
 *   declare name: string
 * }
 * const user = await User.create({ name: 'Ada', photoTmp: file })
 */
export function withAttachments<D extends AnyAttachments, B extends LucidModel>(
  attachments: D,
  base: B,
): B & ClassWithFiles<D> & Constructor<RecordWithFiles<D> & WithAttachments<D>>
export function withAttachments(attachments: AnyAttachments, base: LucidModel): LucidModel {
  const model = createModelWithFiles(attachments, base)
  return mixInAttachments(attachments, model, { idOf, transactionOf })
}

/**
 * Applies `withAttachments` as a class decorator, in both forms that decorators have. An interface
 * beside the class types it. Throws ConfigurationError for a class that has members with the names
 * of attachments.
 *
 * @example
 * const { BaseModel } = await import('@adonisjs/lucid/orm')
 * const { HasAttachments } = await import('activestorage-delayed/lucid')
 * interface User extends WithAttachments<typeof userAttachments> {}
 * @HasAttachments(userAttachments)
 * class User extends BaseModel {
 *   declare id: number
 *   declare name: string
 * }
 * type WithAttachments<D> = import('activestorage-delayed/lucid').WithAttachments<D>
 */
export function HasAttachments<D extends AnyAttachments>(
  attachments: D,
): (target: DecoratedClass<LucidRow & WithAttachments<D>>) => void {
  return (target) =>
    insertMixin(target, Object.keys(attachments), (base) => {
      if (!isModel(base))
        throw new ConfigurationError(
          `@HasAttachments: ${target.name} is no Lucid model. Make it extend BaseModel.`,
        )
      return withAttachments(attachments, base)
    })
}

const isModel = (base: object): base is LucidModel => hasMethod(base, 'boot')
