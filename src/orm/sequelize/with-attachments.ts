import type {
  BuildOptions,
  InstanceUpdateOptions,
  Model,
  NonAttribute,
  SetOptions,
} from 'sequelize'
import type { AnyAttachments } from '../../attached/definitions.ts'
import type { FilesByName, AttachedByName } from '../../attached/record.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import {
  mixInAttachments,
  type DelayedInputs,
  type DelayedUploadMethods,
} from '../with-attachments.ts'
import { idOf } from './records.ts'
import { createModelWithFiles } from './save-class.ts'
import { transactionOf } from './transactions.ts'

/** Members that are no columns: `InferAttributes` leaves them out. */
type NonColumns<T> = { [K in keyof T]: NonAttribute<T[K]> }
/** Members that a record gets. */
type AttachmentMembers<D> = NonColumns<AttachedByName<D>> &
  NonColumns<DelayedInputs<D>> &
  DelayedUploadMethods<D>
/** Values that `create`, `build` and `update` take besides the columns. */
type FileInputs<D> = FilesByName<D> & DelayedInputs<D>
/** Methods of records that take files. Sequelize's own overloads take columns only. */
interface UpdateMethods<A, D> {
  update(values: Partial<A> & FileInputs<D>, options?: InstanceUpdateOptions<A>): Promise<this>
  set(values: Partial<A> & FileInputs<D>, options?: SetOptions): this
}

/** The class that `withAttachments` makes: `Model`, with attachments. */
export type ModelWithAttachments<D> = { [K in keyof typeof Model]: (typeof Model)[K] } & (new <
  // oxlint-disable-next-line typescript/no-explicit-any -- as Sequelize declares its Model
  A extends {} = any,
  C extends {} = A,
>(
  values?: Partial<C> & FileInputs<D>,
  options?: BuildOptions,
) => Model<A, C & FileInputs<D>> & AttachmentMembers<D> & UpdateMethods<A, D>)

/**
 * Creates a base class for models. `user.photoTmp = file` is attached in the background when the
 * record is saved, and `user.photo` is the attachment's handle. Pass the same object to
 * createActiveStorage, and `Model`, or a base of the app's own, as the second argument. Throws
 * ConfigurationError for a base on which `init` was called already.
 *
 * @example
 * const { Model } = await import('sequelize')
 * const { withAttachments } = await import('activestorage-delayed/sequelize')
 * class User extends withAttachments(userAttachments, Model)<InferAttributes<User>, InferCreationAttributes<User>> {
 *   declare id: CreationOptional<string>
 *   declare name: string
 * }
 * type InferAttributes<M extends import('sequelize').Model> = import('sequelize').InferAttributes<M>
 * type InferCreationAttributes<M extends import('sequelize').Model> = import('sequelize').InferCreationAttributes<M>
 * type CreationOptional<T> = import('sequelize').CreationOptional<T>
 */
export function withAttachments<D extends AnyAttachments>(
  attachments: D,
  base: typeof Model,
): ModelWithAttachments<D>
export function withAttachments(attachments: AnyAttachments, base: typeof Model): typeof Model {
  if (Object.hasOwn(base, 'rawAttributes'))
    throw new ConfigurationError(
      `withAttachments(): ${base.name} has its columns already. Extend it first, and call init on the class that does.`,
    )
  const model = createModelWithFiles(attachments, base)
  return mixInAttachments(attachments, model, { idOf, transactionOf })
}
