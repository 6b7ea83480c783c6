import { formatDuration } from '../../options/units.ts'

/** A test whose statements wait for each other would last for ever: it fails after `timeLimit` milliseconds. */
export async function runWithTimeLimit(timeLimit: number, running: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    const message = `The test did not end in ${formatDuration(timeLimit)}: do statements wait for a connection that is taken?`
    timer = setTimeout(() => reject(new Error(message)), timeLimit)
  })
  try {
    await Promise.race([running, late])
  } finally {
    clearTimeout(timer)
  }
}
