import type { EntityManager, QueryRunner } from 'typeorm'
import { getHandleQueue } from '../../database/sqlite-queue.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { TransactionLevel } from '../transaction-stack.ts'
import { sqliteHandleOf } from './internals.ts'

/** The innermost level that is open on each query runner. */
const levels = new WeakMap<QueryRunner, TransactionLevel>()

/** Pushes a level. TypeORM has one kind of event for transactions and for savepoints. */
export const transactionStarted = (runner: QueryRunner): void =>
  void levels.set(runner, new TransactionLevel(levels.get(runner)))

/** Ends the innermost level of a runner with its commit, or with the release of its savepoint. */
export const transactionCommitted = (runner: QueryRunner): void => popLevel(runner)?.markCommitted()

/** Ends the innermost level of a runner with its rollback. */
export const transactionRolledBack = (runner: QueryRunner): void =>
  popLevel(runner)?.markRolledBack()

function popLevel(runner: QueryRunner): TransactionLevel | undefined {
  const level = levels.get(runner)
  if (level?.outer === undefined) levels.delete(runner)
  else levels.set(runner, level.outer)
  return level
}

/** Returns the innermost level that is open on a runner. */
export const levelOf = (runner: QueryRunner): TransactionLevel | undefined => levels.get(runner)

/**
 * Returns the runner of a manager that has one, as in a transaction. Throws ConfigurationError if
 * it has none.
 */
export function requireRunner({ queryRunner }: EntityManager): QueryRunner {
  if (queryRunner === undefined)
    throw new ConfigurationError(
      'This EntityManager has no query runner: use the one that dataSource.transaction(…) hands over.',
    )
  return queryRunner
}

/** Calls `done` when the outermost transaction of a runner is committed. */
export const afterCommit = (runner: QueryRunner, done: () => void): void =>
  levels.get(runner)?.afterCommit(done)

/**
 * Returns whether the transaction of a runner may still be committed. TypeORM emits no rollback
 * event when the connection is lost, so the runner is asked.
 */
export const isRunnerActive = (runner: QueryRunner): boolean =>
  runner.isTransactionActive && !runner.isReleased

interface RememberedTransaction {
  readonly runner: QueryRunner
  readonly outermost: TransactionLevel
}
const rememberedByEntity = new WeakMap<object, RememberedTransaction>()

/** Remembers the transaction that an entity was read or written in, if one is open. */
export function rememberTransaction(entity: object | undefined, runner: QueryRunner): void {
  const outermost = levels.get(runner)?.outermost
  if (entity !== undefined && outermost !== undefined)
    rememberedByEntity.set(entity, { runner, outermost })
}

/**
 * Returns the manager of the transaction that an entity was last read or written in, while that is
 * open.
 */
export function transactionOf(entity: object): EntityManager | undefined {
  const found = rememberedByEntity.get(entity)
  if (found === undefined || !isRunnerActive(found.runner)) return undefined
  return levels.get(found.runner)?.outermost === found.outermost ? found.runner.manager : undefined
}

/** Number of transactions of saves that are open on a handle of SQLite, or wait for it. */
const savesByHandle = new WeakMap<object, number>()

/**
 * Runs the transaction that a save opens. On SQLite, TypeORM has one connection and would begin it
 * inside another save's, as a savepoint; there, saves wait for each other. Inside a transaction of
 * the app on that connection it stays a savepoint.
 */
export async function runOwnTransaction<T>(
  manager: EntityManager,
  run: (on: EntityManager) => Promise<T>,
): Promise<T> {
  const handle = sqliteHandleOf(manager.dataSource)
  const queue = handle && getHandleQueue(handle)
  const isForeign = handle?.inTransaction === true && !savesByHandle.has(handle)
  if (handle === undefined || queue === undefined || isForeign || queue.isInside())
    return manager.transaction(run)
  savesByHandle.set(handle, (savesByHandle.get(handle) ?? 0) + 1)
  try {
    return await queue.run(() => queue.runInside(() => manager.transaction(run)))
  } finally {
    const left = (savesByHandle.get(handle) ?? 1) - 1
    if (left === 0) savesByHandle.delete(handle)
    else savesByHandle.set(handle, left)
  }
}
