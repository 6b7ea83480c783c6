import type {
  LucidModel,
  LucidRow,
  ModelAssignOptions,
  ModelAttributes,
} from '@adonisjs/lucid/types/model'
import type { Files } from '../../attached/record.ts'

/** What is created and merged: columns, and files by name. */
type Input<M extends LucidRow, D> = Omit<Partial<ModelAttributes<M>>, keyof D> & Files<D>

/** Beside Lucid's own, which take what a record has under these names, and no files. */
export interface Bringing<D> extends LucidRow {
  fill(values: Partial<ModelAttributes<this>>, allowExtraProperties?: boolean): this
  fill(values: Input<this, D>, allowExtraProperties?: boolean): this
  merge(values: Partial<ModelAttributes<this>>, allowExtraProperties?: boolean): this
  merge(values: Input<this, D>, allowExtraProperties?: boolean): this
}

export interface BringingClass<D> {
  create<T extends LucidModel>(
    this: T,
    values: Input<InstanceType<T>, D>,
    options?: ModelAssignOptions,
  ): Promise<InstanceType<T>>
  createMany<T extends LucidModel>(
    this: T,
    values: Input<InstanceType<T>, D>[],
    options?: ModelAssignOptions,
  ): Promise<InstanceType<T>[]>
}
