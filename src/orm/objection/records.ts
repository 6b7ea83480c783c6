import type { Knex } from 'knex'
import type { Model, QueryContext } from 'objection'
import { ConfigurationError } from '../../errors/errors.ts'
import { submitPendingFiles } from '../pending-files.ts'
import { requireModel, type StorageModel } from '../model-registry.ts'
import { toRecordId, type RecordId } from '../record-id.ts'
import { definitionsOf } from '../with-attachments.ts'
import { afterCommit, chainOf, openOf } from '../knex/transactions.ts'

/** null: it has none yet. */
export const idOf = (record: Model): RecordId | null => toRecordId(record.$id())

const rememberedIn = new WeakMap<Model, Knex.Transaction>()

/** A record is in the transaction of the query that it was met in last. */
export function rememberTransaction(record: Model, { transaction }: QueryContext): void {
  if (transaction.isTransaction === true) rememberedIn.set(record, transaction as Knex.Transaction)
  else rememberedIn.delete(record)
}

/** As long as it is open. */
export function transactionOf(record: Model): Knex.Transaction | undefined {
  const trx = rememberedIn.get(record)
  return trx && openOf(trx)
}

/** The transaction that a query runs in; there is none without. */
export function requireTransaction(given: unknown, type: string, verb: string): Knex.Transaction {
  if ((given as Partial<Knex.Transaction> | undefined)?.isTransaction !== true)
    throw new ConfigurationError(
      `${type}: ${verb} runs without a transaction here, and its files could be lost or left behind. Pass the trx of knex.transaction(…) to query(…).`,
    )
  return given as Knex.Transaction
}

export async function submitFiles(
  model: StorageModel,
  record: Model,
  id: RecordId | null,
  trx: Knex.Transaction,
  isNew: boolean,
): Promise<void> {
  const transaction = {
    tx: trx,
    chain: chainOf(trx),
    afterCommit: (done: () => void) => afterCommit(trx, done),
  }
  await submitPendingFiles(model, record, id, transaction, isNew)
}

/** Records of a graph, roots first. */
export function collectGraph(roots: readonly Model[], seen: Set<Model> = new Set()): Model[] {
  for (const root of roots) {
    if (seen.has(root)) continue
    seen.add(root)
    for (const name of Object.keys((root.constructor as typeof Model).getRelations())) {
      const related = (
        root as unknown as Record<string, Model | readonly Model[] | null | undefined>
      )[name]
      if (related != null)
        collectGraph(Array.isArray(related) ? (related as Model[]) : [related as Model], seen)
    }
  }
  return [...seen]
}

export const findModel = (record: Model): StorageModel | null => {
  const attachments = definitionsOf(record)
  return attachments === null ? null : requireModel(attachments)
}
