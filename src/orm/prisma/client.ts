/** A model of Prisma's on a client: `db.user`. */
export interface Delegate {
  /** The model's name in the schema. */
  readonly $name: string
  readonly fields: Readonly<Record<string, { readonly typeName: string } | undefined>>
  readonly [verb: string]: unknown
}

/** One operation of a delegate. */
export type DelegateOperation = (args: object) => Promise<Record<string, unknown> | null>

/** What the library needs of a client of Prisma, or of one of its transactions: the generated ones have it. */
export interface PrismaQueryable {
  $queryRawUnsafe<T = unknown>(query: string, ...values: never[]): PromiseLike<T>
  $executeRawUnsafe(query: string, ...values: never[]): PromiseLike<number>
}

/** A PrismaClient as it is generated, extended or not. */
export interface PrismaLike extends PrismaQueryable {
  // oxlint-disable-next-line typescript/no-explicit-any -- each client has types of its own for its transactions
  $transaction(run: (tx: any) => Promise<any>, options?: any): Promise<any>
}

/** What a client hands over in `$transaction(async (tx) => …)`. */
export type TransactionOf<C> = C extends {
  // oxlint-disable-next-line typescript/no-explicit-any -- inferred from whatever options it takes
  $transaction(run: (tx: infer Tx) => Promise<any>, options?: any): Promise<any>
}
  ? Tx
  : never

/** Of `$transaction`. */
export interface TransactionOptions {
  readonly maxWait?: number
  readonly timeout?: number
  readonly isolationLevel?: string
}

/** Without its model's types, as the binding works on it. */
export interface AnyClient {
  $queryRawUnsafe(query: string, ...values: readonly unknown[]): Promise<Record<string, unknown>[]>
  $executeRawUnsafe(query: string, ...values: readonly unknown[]): Promise<number>
  $transaction<T>(run: (tx: AnyClient) => Promise<T>, options?: TransactionOptions): Promise<T>
  $extends(extension: unknown): AnyClient
  readonly [key: string]: unknown
}

/** As Prisma names the property of a model. */
export const propertyOf = (model: string): string => model.charAt(0).toLowerCase() + model.slice(1)

export const isDelegate = (value: unknown): value is Delegate =>
  typeof value === 'object' &&
  value !== null &&
  typeof (value as { $name?: unknown }).$name === 'string'

/** The same for a client, for what was extended from it and for their transactions. undefined: Prisma does not tell any more. */
export const rootOf = (client: object): object | undefined =>
  (client as { _originalClient?: object })._originalClient

/** As the schema says it: `postgresql`, `mysql`, `sqlite`… undefined: Prisma does not tell any more. */
export const providerOf = (client: object): string | undefined =>
  (client as { _activeProvider?: string })._activeProvider

/** A relation of a model, by which writes are nested. */
interface Field {
  readonly name: string
  readonly kind: string
  readonly type: string
}

/** Of a model, the names of its relations and whereto; none where Prisma does not tell: it refuses unknown fields itself. */
export function relationsOf(client: object, model: string): ReadonlyMap<string, string> {
  const { models } =
    (client as { _runtimeDataModel?: { models?: Record<string, { fields: readonly Field[] }> } })
      ._runtimeDataModel ?? {}
  return new Map(
    models?.[model]?.fields
      .filter(({ kind }) => kind === 'object')
      .map(({ name, type }) => [name, type]),
  )
}
