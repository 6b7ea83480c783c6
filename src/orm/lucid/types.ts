import type {
  LucidModel,
  LucidRow,
  ModelAssignOptions,
  ModelAttributes,
} from '@adonisjs/lucid/types/model'
import type { FilesByName } from '../../attached/record.ts'

/** Values of a record that is created or merged: columns, and files by name. */
type RecordInput<M extends LucidRow, D> = Omit<Partial<ModelAttributes<M>>, keyof D> &
  FilesByName<D>

/**
 * Methods of records that take files. Lucid's own overloads stay: they type the handles under these
 * names, not files.
 */
export interface RecordWithFiles<D> extends LucidRow {
  fill(values: Partial<ModelAttributes<this>>, allowExtraProperties?: boolean): this
  fill(values: RecordInput<this, D>, allowExtraProperties?: boolean): this
  merge(values: Partial<ModelAttributes<this>>, allowExtraProperties?: boolean): this
  merge(values: RecordInput<this, D>, allowExtraProperties?: boolean): this
}

/** Static methods of models that take files. */
export interface ClassWithFiles<D> {
  create<T extends LucidModel>(
    this: T,
    values: RecordInput<InstanceType<T>, D>,
    options?: ModelAssignOptions,
  ): Promise<InstanceType<T>>
  createMany<T extends LucidModel>(
    this: T,
    values: RecordInput<InstanceType<T>, D>[],
    options?: ModelAssignOptions,
  ): Promise<InstanceType<T>[]>
}
