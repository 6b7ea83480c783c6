import { ConfigurationError } from '../../errors/errors.ts'

const lazyPromises = new WeakSet<object>()

export const isLazyPromise = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && lazyPromises.has(value)

export const batchError = (): ConfigurationError =>
  new ConfigurationError(
    '$transaction([…]) can neither bring files along nor delete a record with attachments: use $transaction(async (tx) => …), and await each call in it.',
  )

/** Like Prisma's own promises: nothing is begun until somebody waits for it. */
export function createLazyPromise<T>(run: () => Promise<T>): Promise<T> {
  let begun: Promise<T> | undefined
  const promise = (): Promise<T> => (begun ??= run())
  const lazy = {
    // oxlint-disable-next-line unicorn/no-thenable -- it is a promise
    then: (...given: Parameters<Promise<T>['then']>) => promise().then(...given),
    catch: (...given: Parameters<Promise<T>['catch']>) => promise().catch(...given),
    finally: (...given: Parameters<Promise<T>['finally']>) => promise().finally(...given),
    requestTransaction(): never {
      throw batchError()
    },
    [Symbol.toStringTag]: 'PrismaPromise',
  }
  lazyPromises.add(lazy)
  return lazy as Promise<T>
}
