import type { Database } from '../database/database.ts'
import type { Delayed, Report } from '../delayed/definition.ts'
import type { WaitingOptions } from '../delayed/direct-options.ts'
import type { SweepResult } from '../delayed/sweep.ts'
import type { JobEngine } from '../jobs/engine.ts'

export interface BackgroundOptions {
  ready(): Promise<Delayed>
  readonly database: Pick<Database<never, boolean>, 'listen'>
  /** Of PostgreSQL's notifications. */
  readonly channel: string
  /** In-process wake-ups are called here. */
  readonly wakers: Set<() => void>
  wake(): void
  sweep(stopping?: AbortSignal): Promise<SweepResult>
  readonly report: Report
  readonly engine: JobEngine | null
  /** How long a save waits for what it attaches directly. */
  readonly waiting: WaitingOptions
  /** Names of those that are configured, and of those that attachments go to. */
  readonly services: { readonly all: readonly string[]; readonly used: readonly string[] }
}

/** `ended` is told whenever an upload of this process has ended. */
export type Running = BackgroundOptions & { readonly ended: () => void }
