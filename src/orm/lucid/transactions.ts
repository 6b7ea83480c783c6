import type {
  IsolationLevels,
  QueryClientContract,
  TransactionClientContract,
} from '@adonisjs/lucid/types/database'
import { watchTransaction } from '../knex/transactions.ts'

const watchedClients = new WeakSet<TransactionClientContract>()

/** Lucid would take a COMMIT that failed for success. Where it is told, it leaves its records in a transaction that is over. */
export function watchClient(trx: TransactionClientContract): TransactionClientContract {
  if (watchedClients.has(trx)) return trx
  watchedClients.add(trx)
  watchTransaction(trx.knexClient)
  trx.knexClient.executionPromise.catch(() => trx.emit('rollback', trx))
  return trx
}

/** Lucid's own. */
export const beginTransaction = <T>(
  client: QueryClientContract,
  run: (trx: TransactionClientContract) => Promise<T>,
  options?: { isolationLevel?: IsolationLevels },
): Promise<T> => client.transaction((trx) => run(watchClient(trx)), options)
