interface Cause {
  readonly originalCode?: unknown
  readonly originalMessage?: unknown
  readonly kind?: unknown
}

/** What Prisma threw for a statement or for a transaction, with the driver's own code, as `bridged` reads it; anything else as it is. */
export function toDriverError(error: unknown): unknown {
  const { code, meta, message } = error as {
    code?: unknown
    meta?: { driverAdapterError?: { cause?: Cause } }
    message?: string
  }
  const { originalCode, originalMessage, kind } =
    meta?.driverAdapterError?.cause ?? (error as { cause?: Cause }).cause ?? {}
  // P2034: a write conflict or a deadlock, which Prisma tells without the driver's code.
  const told =
    originalCode ?? (code === 'P2034' || kind === 'TransactionWriteConflict' ? '40001' : undefined)
  if (told === undefined) return error
  const text = typeof originalMessage === 'string' ? originalMessage : message
  const isNumber = /^\d{4}$/.test(String(told))
  return Object.assign(
    new Error(text, { cause: error }),
    isNumber ? { errno: Number(told) } : { code: String(told) },
  )
}
