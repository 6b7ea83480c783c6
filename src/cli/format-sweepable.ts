import type { Internals } from '../storage/internals.ts'

/** Formats what a sweep would do, for a terminal. */
export function formatSweepable(found: Awaited<ReturnType<Internals['countSweepable']>>): string {
  const parts: readonly (readonly [count: number, text: string])[] = [
    [found.gemRows, 'rows of the Ruby gem would be moved'],
    [found.abandoned, 'uploads of workers that died would be retried, or fail'],
    [found.givenUp, 'failed uploads past failed.keepFor would be discarded'],
    [found.orphaned, 'files of records that were deleted without their hooks would be dropped'],
    [found.expired, 'staged files that were not submitted in time would be dropped'],
    [found.emptied, 'files that are not needed any more would lose their bytes'],
  ]
  const lines = parts.filter(([count]) => count > 0).map(([count, text]) => `${count} ${text}.`)
  return lines.length === 0 ? 'There is nothing to sweep.' : lines.join('\n')
}
