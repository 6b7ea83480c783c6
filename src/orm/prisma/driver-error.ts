import { adapterErrorOf } from './internals.ts'
import { readPath } from '../object-guards.ts'

/**
 * Converts an error that Prisma threw for a statement or a transaction to one with the driver's own
 * code, which `bridgeDatabase` reads. Returns other errors as they are.
 */
export function toDriverError(error: unknown): unknown {
  const { originalCode, originalMessage, kind } = adapterErrorOf(error)
  // A write conflict or a deadlock, which Prisma reports as P2034 and without the driver's code.
  const isConflict =
    readPath(error, 'code') === 'P2034' || kind === 'TransactionWriteConflict' ? '40001' : undefined
  const code = originalCode ?? isConflict
  if (code === undefined) return error
  const message = typeof originalMessage === 'string' ? originalMessage : readPath(error, 'message')
  const isNumber = /^\d{4}$/.test(String(code))
  return Object.assign(
    new Error(String(message), { cause: error }),
    isNumber ? { errno: Number(code) } : { code: String(code) },
  )
}
