import type { EntityManager, QueryRunner } from 'typeorm'

/** A transaction or a savepoint that is open on a query runner. */
interface Open {
  /** Itself, and the savepoints in it that were released: they are as good as it is. */
  readonly tokens: object[]
  readonly done: (() => void)[]
}

const opened = new WeakMap<QueryRunner, Open[]>()

/** Told by a subscriber: TypeORM has one query runner, and one kind of event, for transactions and for savepoints. */
export const began = (runner: QueryRunner): void =>
  void opened.set(runner, [...(opened.get(runner) ?? []), { tokens: [{}], done: [] }])

export function committed(runner: QueryRunner): void {
  const stack = opened.get(runner) ?? []
  const last = stack.pop()
  const outer = stack.at(-1)
  outer?.tokens.push(...(last?.tokens ?? []))
  outer?.done.push(...(last?.done ?? []))
  if (outer === undefined) for (const done of last?.done ?? []) done()
}

export const rolledBack = (runner: QueryRunner): void => void opened.get(runner)?.pop()

/** Innermost first. */
export const chainOf = (runner: QueryRunner): readonly object[] =>
  (opened.get(runner) ?? []).toReversed().flatMap(({ tokens }) => tokens)

/** When the outermost is committed; at once never. */
export const afterCommit = (runner: QueryRunner, done: () => void): void =>
  void opened.get(runner)?.at(-1)?.done.push(done)

/** Nobody is told of a rollback on a connection that is lost. */
const isActive = (runner: QueryRunner): boolean => runner.isTransactionActive && !runner.isReleased

/** Whether what was done under `token` may still be committed. */
export const isOpen = (runner: QueryRunner, token: object): boolean =>
  isActive(runner) && chainOf(runner).includes(token)

interface Met {
  readonly runner: QueryRunner
  readonly outermost: Open
}
const metIn = new WeakMap<object, Met>()

/** An entity was read or written in whatever transaction is open. */
export function met(entity: object | undefined, runner: QueryRunner): void {
  const outermost = opened.get(runner)?.[0]
  if (entity !== undefined && outermost !== undefined) metIn.set(entity, { runner, outermost })
}

/** The manager of the transaction that an entity was last met in, while that is open. */
export function transactionOf(entity: object): EntityManager | undefined {
  const found = metIn.get(entity)
  if (found === undefined || !isActive(found.runner)) return undefined
  return opened.get(found.runner)?.[0] === found.outermost ? found.runner.manager : undefined
}
