import type { Database } from '../database/database.ts'
import type { DelayedContext } from '../delayed/context.ts'
import type { Log } from '../diagnostics/log.ts'
import type { DirectWaitOptions } from '../delayed/direct-options.ts'
import type { SweepResult } from '../delayed/sweep.ts'
import type { JobEngine } from '../jobs/engine.ts'

export interface BackgroundOptions {
  ready(): Promise<DelayedContext>
  readonly database: Pick<Database<never, boolean>, 'listen'>
  /** Of PostgreSQL's notifications. */
  readonly channel: string
  /** In-process wake-ups are called here. */
  readonly wakers: Set<() => void>
  wake(): void
  sweep(stopping?: AbortSignal): Promise<SweepResult>
  readonly report: Log
  readonly engine: JobEngine | null
  /** How long a save waits for what it attaches directly. */
  readonly waiting: DirectWaitOptions
  /** Names of those that are configured, and of those that attachments go to. */
  readonly services: { readonly all: readonly string[]; readonly used: readonly string[] }
}

/** `ended` is told whenever an upload of this process has ended. */
export type Running = BackgroundOptions & { readonly ended: () => void }
