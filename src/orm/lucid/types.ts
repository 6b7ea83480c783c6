import type {
  LucidModel,
  LucidRow,
  ModelAssignOptions,
  ModelAttributes,
} from '@adonisjs/lucid/types/model'
import type { FilesByName } from '../../attached/record.ts'

/** What is created and merged: columns, and files by name. */
type RecordInput<M extends LucidRow, D> = Omit<Partial<ModelAttributes<M>>, keyof D> &
  FilesByName<D>

/** Beside Lucid's own, which take what a record has under these names, and no files. */
export interface RecordWithFiles<D> extends LucidRow {
  fill(values: Partial<ModelAttributes<this>>, allowExtraProperties?: boolean): this
  fill(values: RecordInput<this, D>, allowExtraProperties?: boolean): this
  merge(values: Partial<ModelAttributes<this>>, allowExtraProperties?: boolean): this
  merge(values: RecordInput<this, D>, allowExtraProperties?: boolean): this
}

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
