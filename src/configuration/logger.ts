import type { Log } from '../diagnostics/log.ts'
import { configurationError } from './configuration-error.ts'

/** A logger of the app: the console, winston, or an object that wraps another logger. */
export interface Logger {
  debug(message: string, details?: object): void
  info(message: string, details?: object): void
  warn(message: string, details?: object): void
  error(message: string, details?: object): void
}

/**
 * Makes one function of the option `logger`. Without one, warnings and errors go to the console.
 */
export function createLog(logger: Logger | false | undefined): Log {
  if (logger === false) return () => undefined
  if (logger === undefined) return logToConsole
  for (const level of ['debug', 'info', 'warn', 'error'] as const)
    if (typeof logger?.[level] !== 'function')
      throw configurationError(
        `logger has no ${level}(): pass one with debug, info, warn and error, such as console, or false for silence.`,
      )
  return (level, message, details) => logger[level](message, details)
}

const logToConsole: Log = (level, message, details) => {
  if (level === 'warn' || level === 'error')
    console[level](`activestorage-delayed: ${message}`, details)
}
