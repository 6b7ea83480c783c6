import { refusePrototypeMembers } from './reserved-members.ts'
import type { Constructor } from './with-attachments.ts'

/** What a class decorator is given first, in either of the forms that there are. */
export type DecoratedClass<T> = abstract new (...args: never[]) => T

/**
 * Puts a mixin between a class and what it extends, as if the class had said so. It stays the same object: decorators of the
 * ORM, which run before or after, know it by that.
 */
export function insertMixin(
  target: DecoratedClass<object>,
  names: readonly string[],
  mix: (base: Constructor) => Constructor,
): void {
  refusePrototypeMembers(target as DecoratedClass<object> & { prototype: object }, names)
  const base: unknown = Object.getPrototypeOf(target)
  const mixed = mix(base === Function.prototype ? class {} : (base as Constructor))
  Object.setPrototypeOf(target, mixed)
  Object.setPrototypeOf(target.prototype, mixed.prototype as object)
}
