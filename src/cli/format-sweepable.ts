import type { Internals } from '../storage/internals.ts'

/** What a sweep would do, for people. */
export function formatSweepable(found: Awaited<ReturnType<Internals['countSweepable']>>): string {
  const parts: readonly (readonly [count: number, text: string])[] = [
    [found.gemRows, "rows of the Ruby gem's would be moved"],
    [found.abandoned, 'uploads whose worker died would be tried again, or fail'],
    [found.givenUp, 'failed uploads that were kept long enough would be given up'],
    [found.orphaned, 'files of records that were deleted past their hooks would be dropped'],
    [found.expired, 'staged files that nobody submitted in time would be dropped'],
    [found.emptied, 'files that nobody needs any more would lose their bytes'],
  ]
  const lines = parts.filter(([count]) => count > 0).map(([count, text]) => `${count} ${text}.`)
  return lines.length === 0 ? 'There is nothing to sweep.' : lines.join('\n')
}
