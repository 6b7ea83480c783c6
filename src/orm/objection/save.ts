import type { Knex } from 'knex'
import type { Model } from 'objection'
import { isTransaction, toRecordTransaction } from '../knex/transactions.ts'
import { requiresFile } from '../model-registry.ts'
import { patchMethod } from '../patch-method.ts'
import { hasAssignedFiles, stageAssignedFiles, submitAssignedFiles } from '../assigned-files.ts'
import { saveAndWait } from '../save-and-wait.ts'
import { readInputRecords, readKnex, type QueryInternals } from './internals.ts'
import { collectGraph, findModel, idOf } from './records.ts'
import { toValidationError } from './validation.ts'

const isFileRequired = (record: Model): boolean => {
  const model = findModel(record)
  return model !== null && requiresFile(model)
}

/**
 * Makes a query that has files, or that deletes records, run in a transaction: Objection opens none
 * by itself. Replaces `execute` of this query only.
 */
export function patchExecute(query: QueryInternals): void {
  patchMethod(
    query,
    'execute',
    (execute) =>
      async function (): Promise<unknown> {
        try {
          return await executeWithFiles(this, async () => execute.call(this))
        } catch (error) {
          throw toValidationError(error, this.modelClass())
        }
      },
  )
}

type Execute = () => Promise<unknown>

async function executeWithFiles(query: QueryInternals, execute: Execute): Promise<unknown> {
  const isGraph = query.has(/graph/i)
  if (!query.isInsert() && !query.isUpdate() && !query.isDelete() && !isGraph) return execute()
  const input = collectGraph(readInputRecords(query))
  const withFiles = input.filter(hasAssignedFiles)
  const needsTransaction =
    query.isDelete() ||
    // A graph deletes the records that it does not name.
    isGraph ||
    withFiles.length > 0 ||
    (query.isInsert() && input.some(isFileRequired))
  const db = readKnex(query)
  if (!needsTransaction || db === undefined) return execute()
  if (isTransaction(db)) return executeAndSubmit(execute, withFiles, db)
  if (query.isInsert()) await stageFiles(withFiles)
  try {
    return await saveAndWait((onBegin) =>
      db.transaction((trx) => {
        onBegin(toRecordTransaction(trx).chain[0])
        query.transacting(trx)
        return executeAndSubmit(execute, withFiles, trx)
      }),
    )
  } finally {
    query.transacting(db)
  }
}

async function stageFiles(records: readonly Model[]): Promise<void> {
  for (const record of records) {
    const model = findModel(record)
    if (model !== null) await stageAssignedFiles(model, record)
  }
}

/**
 * Runs the query, then submits the files of records for which it called no hook: a graph has no
 * query for unchanged ones.
 */
async function executeAndSubmit(
  execute: Execute,
  records: readonly Model[],
  trx: Knex.Transaction,
): Promise<unknown> {
  const result = await execute()
  for (const record of records) {
    const [model, id] = [findModel(record), idOf(record)]
    if (model === null || id === null) continue
    await submitAssignedFiles(model, record, {
      id,
      isNew: false,
      transaction: toRecordTransaction(trx),
    })
  }
  return result
}
