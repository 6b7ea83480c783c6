import type {
  ArrayQueryBuilder,
  MaybeCompositeId,
  Model,
  NumberQueryBuilder,
  Page,
  PartialModelObject,
  QueryBuilder,
  SingleQueryBuilder,
} from 'objection'
import type { Files } from '../../attached/record.ts'

/** What is inserted and patched: columns, and files by name. */
type Input<M extends Model, D> = Omit<PartialModelObject<M>, keyof D> & Files<D>

/** Beside Objection's own, which take what a record has under these names, and no files. */
interface Queries<M extends Model, D> {
  insert(insert: Input<M, D>): SingleQueryBuilder<this>
  insert(insert: Input<M, D>[]): ArrayQueryBuilder<this>
  insertAndFetch(insert: Input<M, D>): SingleQueryBuilder<this>
  insertAndFetch(insert: Input<M, D>[]): ArrayQueryBuilder<this>
  update(update: Input<M, D>): NumberQueryBuilder<this>
  updateAndFetch(update: Input<M, D>): SingleQueryBuilder<this>
  updateAndFetchById(id: MaybeCompositeId, update: Input<M, D>): SingleQueryBuilder<this>
  patch(update: Input<M, D>): NumberQueryBuilder<this>
  patchAndFetch(update: Input<M, D>): SingleQueryBuilder<this>
  patchAndFetchById(id: MaybeCompositeId, update: Input<M, D>): SingleQueryBuilder<this>

  ArrayQueryBuilderType: QueryBuilder<M, M[]> & Queries<M, D>
  SingleQueryBuilderType: QueryBuilder<M, M> & Queries<M, D>
  MaybeSingleQueryBuilderType: QueryBuilder<M, M | undefined> & Queries<M, D>
  NumberQueryBuilderType: QueryBuilder<M, number> & Queries<M, D>
  PageQueryBuilderType: QueryBuilder<M, Page<M>> & Queries<M, D>
}

/** A model whose queries take files. */
export interface Bringing<D> extends Model {
  QueryBuilderType: QueryBuilder<this, this[]> & Queries<this, D>
}
