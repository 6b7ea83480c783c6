import { ConfigurationError } from '../../errors/errors.ts'

const lazyPromises = new WeakSet<object>()

/** Returns whether a value is a promise of `createLazyPromise`. */
export const isLazyPromise = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && lazyPromises.has(value)

/** Creates the ConfigurationError for an operation of the library in `$transaction([…])`. */
export const batchError = (): ConfigurationError =>
  new ConfigurationError(
    '$transaction([…]) can neither save files nor delete a record with attachments: use $transaction(async (tx) => …), and await each call in it.',
  )

/**
 * Creates a promise like Prisma's own: it runs when it is first awaited, and Prisma refuses it in a
 * batch.
 */
export function createLazyPromise<T>(run: () => Promise<T>): Promise<T> {
  let promise: Promise<T> | undefined
  const start = (): Promise<T> => (promise ??= run())
  const lazy: Promise<T> & { requestTransaction(): never } = {
    // oxlint-disable-next-line unicorn/no-thenable -- it is a promise
    then: (...given) => start().then(...given),
    catch: (...given) => start().catch(...given),
    finally: (...given) => start().finally(...given),
    // Prisma calls it for each promise of a batch.
    requestTransaction() {
      throw batchError()
    },
    [Symbol.toStringTag]: 'PrismaPromise',
  }
  lazyPromises.add(lazy)
  return lazy
}
