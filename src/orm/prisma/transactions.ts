import { AsyncLocalStorage } from 'node:async_hooks'
import { ConfigurationError } from '../../errors.ts'
import { providerOf, rootOf, type AnyClient } from './client.ts'

/** A transaction of Prisma's, with all that are nested in it: they are savepoints on its connection. */
export interface Open {
  /** Whose it is: see `rootOf`. */
  readonly root: object | undefined
  isOpen: boolean
  /** What the app was handed over. */
  tx: object | undefined
  /** Told when it is committed. */
  readonly done: (() => void)[]
}

const byClient = new WeakMap<object, Open>()

/** undefined: not opened through a client with attachments. */
export const openOf = (tx: object): Open | undefined => byClient.get(tx)

export const belongsTo = (tx: object, open: Open): void => void byClient.set(tx, open)

/** On SQLite alone, where all of a client's transactions, and the library's statements, wait for each other. */
const inside = new AsyncLocalStorage<Open>()

/** Runs a whole transaction: `begin` opens it on a client of Prisma's. */
export async function opening<T>(client: AnyClient, begin: (open: Open) => Promise<T>): Promise<T> {
  notInside(client)
  const open: Open = { root: rootOf(client), isOpen: true, tx: undefined, done: [] }
  const result = await (
    providerOf(client) === 'sqlite' ? inside.run(open, () => begin(open)) : begin(open)
  ).finally(() => {
    open.isOpen = false
  })
  for (const done of open.done) done()
  return result
}

/** Throws where a call would wait for the transaction that it is made in. */
function notInside(client: AnyClient): void {
  const open = inside.getStore()
  if (open?.isOpen === true && open.root === rootOf(client))
    throw new ConfigurationError(
      'On SQLite this call would wait for the transaction that it is made in. Make it on the tx that $transaction(async (tx) => …) hands over, or pass { transaction: tx } to storage.record().',
    )
}
