import { refusePrototypeMembers } from './reserved-members.ts'
import { isConstructor } from './object-guards.ts'
import type { Constructor } from './with-attachments.ts'

/** The class that a class decorator is given first, in both forms of decorators. */
export type DecoratedClass<T> = abstract new (...args: never[]) => T

/**
 * Puts a mixin between a class and the class that it extends, as if it extended the mixin. The
 * class stays the same object: decorators of the ORM, which run before or after, know it by that.
 * Throws ConfigurationError for members that would hide accessors.
 */
export function insertMixin(
  target: DecoratedClass<object>,
  names: readonly string[],
  mix: (base: Constructor) => Constructor,
): void {
  const { name, prototype }: { readonly name: string; readonly prototype: object } = target
  refusePrototypeMembers({ name, prototype }, names)
  const base: unknown = Object.getPrototypeOf(target)
  const mixed = mix(isConstructor(base) ? base : class {})
  Object.setPrototypeOf(target, mixed)
  Object.setPrototypeOf(prototype, mixed.prototype)
}
