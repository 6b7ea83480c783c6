import type {
  IsolationLevels,
  QueryClientContract,
  TransactionClientContract,
} from '@adonisjs/lucid/types/database'
import type { LucidRow } from '@adonisjs/lucid/types/model'
import { watchTransaction } from '../knex/transactions.ts'
import { modelOf } from './records.ts'

const watchedClients = new WeakSet<TransactionClientContract>()

/**
 * Watches a transaction's COMMIT: Lucid takes a COMMIT that failed for success, and would leave its
 * records in a transaction that is finished. It clears them when it gets the event 'rollback'.
 */
export function watchClient(trx: TransactionClientContract): TransactionClientContract {
  if (watchedClients.has(trx)) return trx
  watchedClients.add(trx)
  watchTransaction(trx.knexClient)
  trx.knexClient.executionPromise.catch(() => trx.emit('rollback', trx))
  return trx
}

/** Opens a transaction of Lucid's, and watches it. */
export const beginTransaction = <T>(
  client: QueryClientContract,
  run: (trx: TransactionClientContract) => Promise<T>,
  options?: { isolationLevel?: IsolationLevels },
): Promise<T> => client.transaction((trx) => run(watchClient(trx)), options)

/**
 * Runs `run` in the transaction that the record is in, or in a new one: Lucid opens a transaction
 * for many records, but not for one. `onBegin` is called with the token of a new transaction.
 */
export async function runInTransaction<T>(
  record: LucidRow,
  run: (trx: TransactionClientContract) => Promise<T>,
  onBegin: (transaction: object | undefined) => void = () => undefined,
): Promise<T> {
  if (record.$trx !== undefined) return run(watchClient(record.$trx))
  const { $isPersisted, $attributes, $original } = record
  const before = { $isPersisted, $attributes: { ...$attributes }, $original: { ...$original } }
  try {
    return await beginTransaction(modelOf(record).$adapter.modelClient(record), (trx) => {
      onBegin(watchTransaction(trx.knexClient).chain[0])
      return run(record.useTransaction(trx).$trx ?? trx)
    })
  } catch (error) {
    // Lucid takes a record that was rolled back for saved, and would not write it again.
    Object.assign(record, before)
    throw error
  }
}
