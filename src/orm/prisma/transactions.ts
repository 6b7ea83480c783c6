import { AsyncLocalStorage } from 'node:async_hooks'
import { ConfigurationError } from '../../errors/errors.ts'
import { TransactionLevel } from '../transaction-stack.ts'
import type { AnyClient } from './client.ts'
import { providerOf, rootOf } from './internals.ts'

/**
 * A transaction of Prisma. Those that are nested in it are savepoints on its connection, and one
 * with it.
 */
export interface PrismaTransaction {
  /** The root of the client that it was opened on: see `rootOf`. */
  readonly root: object | undefined
  readonly level: TransactionLevel
  /** The client that the app gets in it. */
  tx: object | undefined
}

const transactionByClient = new WeakMap<object, PrismaTransaction>()

/**
 * Returns the transaction of a client that Prisma passed to the app. undefined: it was not opened
 * through the library.
 */
export const openOf = (tx: object): PrismaTransaction | undefined => transactionByClient.get(tx)

/** Remembers the transaction of a client that the app gets. */
export const rememberTransaction = (tx: object, open: PrismaTransaction): void =>
  void transactionByClient.set(tx, open)

/**
 * The transaction that a call is made in. It is used on SQLite only, where transactions and the
 * library's statements wait for each other.
 */
const transactionAround = new AsyncLocalStorage<PrismaTransaction>()

/**
 * Runs a transaction, which `begin` opens on a client of Prisma. Throws ConfigurationError if it
 * would wait for itself.
 */
export async function runInTransaction<T>(
  client: AnyClient,
  begin: (open: PrismaTransaction) => Promise<T>,
): Promise<T> {
  refuseWaitingForItself(client)
  const level = new TransactionLevel(undefined)
  const open: PrismaTransaction = { root: rootOf(client), level, tx: undefined }
  let result: T
  try {
    result = await (providerOf(client) === 'sqlite'
      ? transactionAround.run(open, () => begin(open))
      : begin(open))
  } catch (error) {
    level.markRolledBack()
    throw error
  }
  level.markCommitted()
  return result
}

function refuseWaitingForItself(client: AnyClient): void {
  const open = transactionAround.getStore()
  if (open?.level.isActive === true && open.root === rootOf(client))
    throw new ConfigurationError(
      'On SQLite this call would wait for the transaction that it is made in. Make it on the tx that $transaction(async (tx) => …) hands over, or pass { transaction: tx } to storage.record().',
    )
}
