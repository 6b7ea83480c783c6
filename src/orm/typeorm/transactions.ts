import type { EntityManager, QueryRunner } from 'typeorm'

/** A transaction or a savepoint that is open on a query runner. */
interface StackEntry {
  /** Itself, and the savepoints in it that were released: they are as good as it is. */
  readonly tokens: object[]
  readonly done: (() => void)[]
}

const stackByRunner = new WeakMap<QueryRunner, StackEntry[]>()

/** Told by a subscriber: TypeORM has one query runner, and one kind of event, for transactions and for savepoints. */
export const transactionStarted = (runner: QueryRunner): void =>
  void stackByRunner.set(runner, [...(stackByRunner.get(runner) ?? []), { tokens: [{}], done: [] }])

export function transactionCommitted(runner: QueryRunner): void {
  const stack = stackByRunner.get(runner) ?? []
  const last = stack.pop()
  const outer = stack.at(-1)
  outer?.tokens.push(...(last?.tokens ?? []))
  outer?.done.push(...(last?.done ?? []))
  if (outer === undefined) for (const done of last?.done ?? []) done()
}

export const transactionRolledBack = (runner: QueryRunner): void =>
  void stackByRunner.get(runner)?.pop()

/** Innermost first. */
export const chainOf = (runner: QueryRunner): readonly object[] =>
  (stackByRunner.get(runner) ?? []).toReversed().flatMap(({ tokens }) => tokens)

/** When the outermost is committed; at once never. */
export const afterCommit = (runner: QueryRunner, done: () => void): void =>
  void stackByRunner.get(runner)?.at(-1)?.done.push(done)

/** Nobody is told of a rollback on a connection that is lost. */
const isRunnerActive = (runner: QueryRunner): boolean =>
  runner.isTransactionActive && !runner.isReleased

/** Whether what was done under `token` may still be committed. */
export const isTokenActive = (runner: QueryRunner, token: object): boolean =>
  isRunnerActive(runner) && chainOf(runner).includes(token)

interface RememberedTransaction {
  readonly runner: QueryRunner
  readonly outermost: StackEntry
}
const rememberedByEntity = new WeakMap<object, RememberedTransaction>()

/** An entity was read or written in whatever transaction is open. */
export function rememberTransaction(entity: object | undefined, runner: QueryRunner): void {
  const outermost = stackByRunner.get(runner)?.[0]
  if (entity !== undefined && outermost !== undefined)
    rememberedByEntity.set(entity, { runner, outermost })
}

/** The manager of the transaction that an entity was last met in, while that is open. */
export function transactionOf(entity: object): EntityManager | undefined {
  const found = rememberedByEntity.get(entity)
  if (found === undefined || !isRunnerActive(found.runner)) return undefined
  return stackByRunner.get(found.runner)?.[0] === found.outermost ? found.runner.manager : undefined
}
