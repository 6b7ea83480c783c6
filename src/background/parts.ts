import type { Settings } from '../configuration/configuration.ts'
import type { Outages } from '../delayed/concurrency-limits.ts'
import type { DelayedContext } from '../delayed/context.ts'
import type { WorkContext } from '../delayed/upload-work.ts'
import type { JobDefinition } from '../jobs/job-source.ts'
import type { WakeUps } from './wake-ups.ts'

/** Parts that the workers, drains and direct attaches of one storage share. */
export interface BackgroundParts {
  readonly settings: Settings
  readonly wakeUps: WakeUps
  readonly jobs: readonly JobDefinition<WorkContext>[]
  /** Services that are unavailable, as this process saw them. */
  readonly outages: Outages
  /** Called each time that an upload of this process has ended. */
  readonly endListeners: Set<() => void>
  /** Opens the database at first use. */
  open(): Promise<DelayedContext>
}
