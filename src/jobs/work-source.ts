/** One piece of claimed work. `run` never rejects for reasons of the work itself: it writes its failure down. */
export interface Task {
  run(stopping: AbortSignal): Promise<void>
}

/** A kind of work: uploads, their hooks, other jobs. Engines know nothing of what they do. */
export interface WorkSource {
  readonly name: string
  /** Takes up to `limit` due pieces of work. */
  claim(limit: number): Promise<readonly Task[]>
}
