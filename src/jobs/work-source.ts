/**
 * One piece of claimed work. `run` stores the work's own failures; it rejects only if it cannot, as
 * without a database.
 */
export interface Task {
  run(stopping: AbortSignal): Promise<void>
}

/**
 * One kind of work that workers claim: uploads, their hooks, or other jobs. Workers know nothing of
 * what the work does.
 */
export interface WorkSource {
  /** For logs. */
  readonly name: string
  /** Claims up to `limit` pieces of work that are due. */
  claim(limit: number): Promise<readonly Task[]>
}
