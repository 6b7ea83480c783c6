import type {
  IsolationLevels,
  QueryClientContract,
  TransactionClientContract,
} from '@adonisjs/lucid/types/database'
import { watch } from '../knex/transactions.ts'

const known = new WeakSet<TransactionClientContract>()

/** Lucid would take a COMMIT that failed for success. Where it is told, it leaves its records in a transaction that is over. */
export function watched(trx: TransactionClientContract): TransactionClientContract {
  if (known.has(trx)) return trx
  known.add(trx)
  watch(trx.knexClient)
  trx.knexClient.executionPromise.catch(() => trx.emit('rollback', trx))
  return trx
}

/** Lucid's own. */
export const transaction = <T>(
  client: QueryClientContract,
  run: (trx: TransactionClientContract) => Promise<T>,
  options?: { isolationLevel?: IsolationLevels },
): Promise<T> => client.transaction((trx) => run(watched(trx)), options)
