import type { Constructor } from './with-attachments.ts'

/** Any function, called with a `this` of its own. */
type AnyMethod = (...given: never[]) => unknown

/** Returns whether a value is an object. Its members are unknown. */
export const isObject = (value: unknown): value is Record<PropertyKey, unknown> =>
  typeof value === 'object' && value !== null

/** Returns whether a value is a class, or a function that can be called with `new`. */
export const isConstructor = (value: unknown): value is Constructor =>
  typeof value === 'function' && isObject(value.prototype)

/**
 * Returns whether an object or a class has a method of this name, by itself or from its prototypes.
 */
export const hasMethod = <N extends PropertyKey>(
  value: unknown,
  name: N,
): value is Record<N, AnyMethod> =>
  (isObject(value) || typeof value === 'function') && typeof Reflect.get(value, name) === 'function'

/** Returns a list as it is, and any other value as a list of one. */
export const toList = (value: unknown): readonly unknown[] =>
  Array.isArray(value) ? value : [value]

/** Yields an object, then its prototypes; for a class, the classes that it extends. */
export function* prototypesOf(value: object): Iterable<object> {
  for (
    let at: unknown = value;
    isObject(at) || typeof at === 'function';
    at = Object.getPrototypeOf(at)
  )
    yield at
}

/** Reads the member of a value at a path of names. undefined: there is none. */
export function readPath(value: unknown, ...path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, name) => (isObject(at) ? at[name] : undefined), value)
}
