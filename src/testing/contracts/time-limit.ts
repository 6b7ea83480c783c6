import { formatDuration } from '../../options/units.ts'

/**
 * Rejects if `running` does not end within `timeLimit` milliseconds: statements that wait for each
 * other never end.
 */
export async function runWithTimeLimit(timeLimit: number, running: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    const message = `The test did not end within ${formatDuration(timeLimit)}. Do statements wait for a connection that is in use?`
    timer = setTimeout(() => reject(new Error(message)), timeLimit)
  })
  try {
    await Promise.race([running, late])
  } finally {
    clearTimeout(timer)
  }
}
