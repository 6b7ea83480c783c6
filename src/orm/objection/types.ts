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
import type { FilesByName } from '../../attached/record.ts'

/** Values of a record that is inserted or patched: columns, and files by name. */
type RecordInput<M extends Model, D> = Omit<PartialModelObject<M>, keyof D> & FilesByName<D>

/**
 * Methods of queries that take files. Objection's own overloads stay: they type the handles under
 * these names, not files.
 */
interface QueriesWithFiles<M extends Model, D> {
  insert(insert: RecordInput<M, D>): SingleQueryBuilder<this>
  insert(insert: RecordInput<M, D>[]): ArrayQueryBuilder<this>
  insertAndFetch(insert: RecordInput<M, D>): SingleQueryBuilder<this>
  insertAndFetch(insert: RecordInput<M, D>[]): ArrayQueryBuilder<this>
  update(update: RecordInput<M, D>): NumberQueryBuilder<this>
  updateAndFetch(update: RecordInput<M, D>): SingleQueryBuilder<this>
  updateAndFetchById(id: MaybeCompositeId, update: RecordInput<M, D>): SingleQueryBuilder<this>
  patch(update: RecordInput<M, D>): NumberQueryBuilder<this>
  patchAndFetch(update: RecordInput<M, D>): SingleQueryBuilder<this>
  patchAndFetchById(id: MaybeCompositeId, update: RecordInput<M, D>): SingleQueryBuilder<this>

  ArrayQueryBuilderType: QueryBuilder<M, M[]> & QueriesWithFiles<M, D>
  SingleQueryBuilderType: QueryBuilder<M, M> & QueriesWithFiles<M, D>
  MaybeSingleQueryBuilderType: QueryBuilder<M, M | undefined> & QueriesWithFiles<M, D>
  NumberQueryBuilderType: QueryBuilder<M, number> & QueriesWithFiles<M, D>
  PageQueryBuilderType: QueryBuilder<M, Page<M>> & QueriesWithFiles<M, D>
}

/** A record whose class has queries that take files. */
export interface RecordWithFiles<D> extends Model {
  QueryBuilderType: QueryBuilder<this, this[]> & QueriesWithFiles<this, D>
}
