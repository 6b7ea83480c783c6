// Fields of Prisma's client that its types do not show, each with the reason why it is read.
// test/orm-internals.test.ts fails when a version of Prisma does not have them any more.
import { isObject, readPath, toList } from '../object-guards.ts'

/**
 * Reads the client that a client, or that of a transaction, was extended from, `_originalClient`.
 * It is the same object for all of them, and so shows a transaction of another client. undefined: a
 * version of Prisma does not have it.
 */
export function rootOf(client: object): object | undefined {
  const root = readPath(client, '_originalClient')
  return isObject(root) ? root : undefined
}

/**
 * Reads the provider of the schema, `_activeProvider`: `postgresql`, `mysql`, `sqlite`… It says
 * which dialect to use.
 */
export function providerOf(client: object): string | undefined {
  const provider = readPath(client, '_activeProvider')
  return typeof provider === 'string' ? provider : undefined
}

/**
 * Reads the version of the package that generated the client, `_clientVersion`. An app may have
 * several.
 */
export const versionOf = (client: object): unknown => readPath(client, '_clientVersion')

/**
 * Reads the relations of a model by name, with the model at their other end, from
 * `_runtimeDataModel`. Writes of other records are nested in them. Empty if a version of Prisma
 * does not have it: Prisma refuses unknown fields itself.
 */
export function relationsOf(client: object, model: string): ReadonlyMap<string, string> {
  const relations = new Map<string, string>()
  for (const field of toList(
    readPath(client, '_runtimeDataModel', 'models', model, 'fields') ?? [],
  )) {
    const [kind, name, type] = [
      readPath(field, 'kind'),
      readPath(field, 'name'),
      readPath(field, 'type'),
    ]
    if (kind === 'object' && typeof name === 'string' && typeof type === 'string')
      relations.set(name, type)
  }
  return relations
}

/** The error of a driver adapter, as Prisma keeps it. */
export interface AdapterError {
  readonly originalCode: unknown
  readonly originalMessage: unknown
  readonly kind: unknown
}

/**
 * Reads the driver's error behind an error of Prisma, which has the driver's own code:
 * `meta.driverAdapterError.cause` of a statement, `cause` of a transaction.
 */
export function adapterErrorOf(error: unknown): AdapterError {
  const cause = readPath(error, 'meta', 'driverAdapterError', 'cause') ?? readPath(error, 'cause')
  return {
    originalCode: readPath(cause, 'originalCode'),
    originalMessage: readPath(cause, 'originalMessage'),
    kind: readPath(cause, 'kind'),
  }
}
