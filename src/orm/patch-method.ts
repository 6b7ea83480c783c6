import { ConfigurationError } from '../errors/errors.ts'

/** A method of an ORM whose types are not looked at: the patch passes its arguments on. */
export type Method<T> = (this: T, ...given: readonly unknown[]) => unknown

/**
 * Replaces a method of an ORM's prototype, for all objects that inherit it and until the process
 * ends. `replace` is given the ORM's own method. Throws ConfigurationError if the ORM has no such
 * method.
 */
export function patchMethod<T extends object>(
  prototype: T,
  name: string,
  replace: (original: Method<T>) => Method<T>,
): void {
  const found: unknown = Reflect.get(prototype, name)
  if (typeof found !== 'function')
    throw new ConfigurationError(
      `This version of the ORM has no method ${name}() that the library could extend. Install a version that the library supports.`,
    )
  Object.defineProperty(prototype, name, {
    configurable: true,
    writable: true,
    value: replace(function (...given) {
      return Reflect.apply(found, this, given)
    }),
  })
}
