import { AsyncLocalStorage } from 'node:async_hooks'
import { ConfigurationError } from '../../errors/errors.ts'
import { providerOf, rootOf, type AnyClient } from './client.ts'

/** A transaction of Prisma's, with all that are nested in it: they are savepoints on its connection. */
export interface PrismaTransaction {
  /** Whose it is: see `rootOf`. */
  readonly root: object | undefined
  isOpen: boolean
  /** What the app was handed over. */
  tx: object | undefined
  /** Told when it is committed. */
  readonly done: (() => void)[]
}

const transactionByClient = new WeakMap<object, PrismaTransaction>()

/** undefined: not opened through a client with attachments. */
export const openOf = (tx: object): PrismaTransaction | undefined => transactionByClient.get(tx)

export const rememberTransaction = (tx: object, open: PrismaTransaction): void =>
  void transactionByClient.set(tx, open)

/** On SQLite alone, where all of a client's transactions, and the library's statements, wait for each other. */
const transactionAround = new AsyncLocalStorage<PrismaTransaction>()

/** Runs a whole transaction: `begin` opens it on a client of Prisma's. */
export async function runInTransaction<T>(
  client: AnyClient,
  begin: (open: PrismaTransaction) => Promise<T>,
): Promise<T> {
  refuseWaitingForItself(client)
  const open: PrismaTransaction = { root: rootOf(client), isOpen: true, tx: undefined, done: [] }
  const result = await (
    providerOf(client) === 'sqlite' ? transactionAround.run(open, () => begin(open)) : begin(open)
  ).finally(() => {
    open.isOpen = false
  })
  for (const done of open.done) done()
  return result
}

/** Throws where a call would wait for the transaction that it is made in. */
function refuseWaitingForItself(client: AnyClient): void {
  const open = transactionAround.getStore()
  if (open?.isOpen === true && open.root === rootOf(client))
    throw new ConfigurationError(
      'On SQLite this call would wait for the transaction that it is made in. Make it on the tx that $transaction(async (tx) => …) hands over, or pass { transaction: tx } to storage.record().',
    )
}
