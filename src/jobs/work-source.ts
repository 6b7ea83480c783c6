/** One piece of claimed work. */
export interface Task {
  /**
   * Runs the work and stores its outcome. It ends early when the signal aborts. Rejects only if the
   * outcome cannot be stored, as without a database.
   */
  run(signal: AbortSignal): Promise<void>
}

/**
 * One kind of work that workers claim: uploads, their hooks, or jobs. A worker does not know what
 * the work does.
 */
export interface WorkSource {
  /** For logs. */
  readonly name: string
  /** Claims up to `limit` pieces of work that are due. */
  claim(limit: number): Promise<readonly Task[]>
}
