import { existsSync, readFileSync, writeFileSync } from 'node:fs'

/** What a process has used, as Linux tells it. */
export interface Usage {
  /** MB, the highest since `start`. */
  readonly peak: number
  /** Seconds of a core since `start`. */
  readonly cpu: number
}

/** Whether usage can be told here. */
export const isTold = existsSync('/proc/self/clear_refs')

/** Watches a process from now on; `end` tells what it used. */
export function watch(pid: number): { end(): Usage } {
  if (!isTold) return { end: () => ({ peak: Number.NaN, cpu: Number.NaN }) }
  // Sets the peak back.
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
  const before = cpuOf(pid)
  return {
    end: () => ({
      peak: Math.round(
        Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024,
      ),
      cpu: cpuOf(pid) - before,
    }),
  }
}

/** Linux counts in hundredths of a second. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}
