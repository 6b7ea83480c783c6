import type { Logger } from '../../src/index.ts'

/** A logger that is silent but for the given methods. */
export function toLogger(methods: Partial<Logger>): Logger {
  const ignore = (): void => undefined
  return { debug: ignore, info: ignore, warn: ignore, error: ignore, ...methods }
}
