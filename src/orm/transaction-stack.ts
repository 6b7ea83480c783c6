type State = 'open' | 'committed' | 'rolled back'

/**
 * One level of an ORM's transaction stack: a transaction, or a savepoint in it. ORMs report both in
 * their own ways, and none of them has a callback after the commit of the outermost transaction.
 * The ORM's folder creates a level when one begins and ends it with `markCommitted` or
 * `markRolledBack`.
 */
export class TransactionLevel {
  /** The transaction that this savepoint is in. undefined: this is the outermost. */
  readonly outer: TransactionLevel | undefined
  /** Its own token, and those of its released savepoints, whose work is part of it. */
  readonly #tokens: object[]
  readonly #afterCommit: (() => void)[] = []
  readonly #afterRollback: (() => void)[] = []
  #state: State = 'open'

  /**
   * `token` identifies the level in `chain`; pass the ORM's own transaction object where it has one
   * for each level.
   */
  constructor(outer: TransactionLevel | undefined, token: object = {}) {
    this.outer = outer
    this.#tokens = [token]
  }

  get outermost(): TransactionLevel {
    return this.outer?.outermost ?? this
  }

  /** Tokens of this level, then of the levels around it. */
  get chain(): readonly object[] {
    return [...this.#tokens, ...(this.outer?.chain ?? [])]
  }

  /** Whether the work of this level may still be committed. */
  get isActive(): boolean {
    if (this.#state === 'rolled back') return false
    return this.outer?.isActive ?? this.#state === 'open'
  }

  /**
   * Calls `done` when the outermost transaction is committed, and never if this level or one around
   * it is rolled back.
   */
  afterCommit(done: () => void): void {
    this.#afterCommit.push(done)
  }

  /** Calls `undo` when this level, or one around it, is rolled back. */
  afterRollback(undo: () => void): void {
    this.#afterRollback.push(undo)
  }

  /**
   * Ends the level with its commit. A savepoint passes its tokens and callbacks to the level around
   * it; the outermost transaction calls all `done` callbacks.
   */
  markCommitted(): void {
    if (this.#state !== 'open') return
    this.#state = 'committed'
    const committed = this.#afterCommit.splice(0)
    if (this.outer === undefined) {
      for (const done of committed) done()
      return
    }
    this.outer.#tokens.push(...this.#tokens)
    this.outer.#afterCommit.push(...committed)
    this.outer.#afterRollback.push(...this.#afterRollback.splice(0))
  }

  /**
   * Ends the level with its rollback: calls all `undo` callbacks, the last one first. A commit that
   * fails is a rollback too.
   */
  markRolledBack(): void {
    if (this.#state !== 'open') return
    this.#state = 'rolled back'
    for (const undo of this.#afterRollback.splice(0).toReversed()) undo()
  }
}
