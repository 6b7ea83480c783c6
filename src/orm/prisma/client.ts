import { isObject } from '../object-guards.ts'

/** One operation of a model, such as `create`. */
export type Operation = (args: object) => Promise<Record<string, unknown> | null>

/** A model of Prisma on a client, `db.user`, which Prisma calls a delegate. */
export interface Delegate {
  /** The model's name in the schema. */
  readonly $name: string
  readonly fields: Readonly<Record<string, { readonly typeName: string } | undefined>>
  readonly [verb: string]: unknown
}

/**
 * The part of a client of Prisma, or of one of its transactions, that the library needs. Generated
 * clients have it.
 */
export interface PrismaQueryable {
  $queryRawUnsafe<T = unknown>(query: string, ...values: never[]): PromiseLike<T>
  $executeRawUnsafe(query: string, ...values: never[]): PromiseLike<number>
}

/** A PrismaClient as it is generated, extended or not. */
export interface PrismaLike extends PrismaQueryable {
  // oxlint-disable-next-line typescript/no-explicit-any -- each client has types of its own for its transactions
  $transaction(run: (tx: any) => Promise<any>, options?: any): Promise<any>
}

/** The `tx` of `$transaction(async (tx) => …)`. */
export type TransactionOf<C> = C extends {
  // oxlint-disable-next-line typescript/no-explicit-any -- inferred from whatever options it takes
  $transaction(run: (tx: infer Tx) => Promise<any>, options?: any): Promise<any>
}
  ? Tx
  : never

/** Options of `$transaction`. Times are in milliseconds. */
export interface TransactionOptions {
  readonly maxWait?: number
  readonly timeout?: number
  readonly isolationLevel?: string
}

/** A client without the types of its models, as the library works on it. */
export interface AnyClient {
  $queryRawUnsafe(query: string, ...values: readonly unknown[]): Promise<Record<string, unknown>[]>
  $executeRawUnsafe(query: string, ...values: readonly unknown[]): Promise<number>
  $transaction<T>(run: (tx: AnyClient) => Promise<T>, options?: TransactionOptions): Promise<T>
  /** Runs the operations of a list in one transaction. */
  $transaction(operations: readonly unknown[], options?: TransactionOptions): Promise<unknown>
  $extends(extension: unknown): AnyClient
  readonly [key: string]: unknown
}

/** Returns the name of a model's property on a client: `User` is `db.user`. */
export const propertyOf = (model: string): string => model.charAt(0).toLowerCase() + model.slice(1)

/** Returns whether a member of a client is a model. */
export const isDelegate = (value: unknown): value is Delegate =>
  isObject(value) && typeof value['$name'] === 'string' && isObject(value['fields'])

/**
 * Returns an operation of a model on a client. Throws TypeError if the client has no such model,
 * which was checked before.
 */
export function requireOperation(client: AnyClient, model: string, verb: string): Operation {
  const delegate = client[propertyOf(model)]
  const operation = isDelegate(delegate) ? delegate[verb] : undefined
  if (!isOperation(operation)) throw new TypeError(`Prisma has no operation ${model}.${verb}()`)
  return operation
}

const isOperation = (value: unknown): value is Operation => typeof value === 'function'
