/**
 * Fields of a Drizzle transaction on PostgreSQL that its types leave out. Drizzle has no public way
 * to ask whether a transaction is finished, but pg's client knows. All are optional: other drivers
 * have none of them.
 */
export interface TransactionInternals {
  readonly session?: {
    /** pg 8.16 and newer. 'I': the connection is in no transaction. */
    readonly client?: { getTransactionStatus?(): string | null }
  }
}

/** Checks whether the transaction is finished. false if the driver cannot be asked. */
export const isFinished = (tx: object & TransactionInternals): boolean =>
  tx.session?.client?.getTransactionStatus?.() === 'I'

/**
 * Returns the name that Drizzle gives each of its classes, under a symbol of its own. It is the
 * same in a second Drizzle of the app.
 */
export const entityKindOf = ({ constructor }: object): unknown =>
  Reflect.get(constructor, Symbol.for('drizzle:entityKind'))
