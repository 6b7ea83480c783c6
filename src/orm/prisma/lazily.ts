import { ConfigurationError } from '../../errors.ts'

const ours = new WeakSet<object>()

export const isLazy = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && ours.has(value)

export const noBatch = (): ConfigurationError =>
  new ConfigurationError(
    '$transaction([…]) can neither bring files along nor delete a record with attachments: use $transaction(async (tx) => …), and await each call in it.',
  )

/** Like Prisma's own promises: nothing is begun until somebody waits for it. */
export function lazily<T>(run: () => Promise<T>): Promise<T> {
  let begun: Promise<T> | undefined
  const promise = (): Promise<T> => (begun ??= run())
  const lazy = {
    // oxlint-disable-next-line unicorn/no-thenable -- it is a promise
    then: (...given: Parameters<Promise<T>['then']>) => promise().then(...given),
    catch: (...given: Parameters<Promise<T>['catch']>) => promise().catch(...given),
    finally: (...given: Parameters<Promise<T>['finally']>) => promise().finally(...given),
    requestTransaction(): never {
      throw noBatch()
    },
    [Symbol.toStringTag]: 'PrismaPromise',
  }
  ours.add(lazy)
  return lazy as Promise<T>
}
