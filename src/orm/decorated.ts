import { ConfigurationError } from '../errors.ts'
import type { Constructor } from './with-attachments.ts'

/** What a class decorator is given, in both of the forms that there are: one parameter is enough for either. */
export type Target<T = object> = abstract new (...args: never[]) => T

/**
 * Puts a mixin between a class and what it extends, as if it had said so itself. The class stays the same object: decorators
 * of ORMs know it by that, whether they ran before or run after.
 */
export function extendWith(target: Target, names: readonly string[], mix: (base: Constructor) => Constructor): void {
  const own = names.find((name) => Object.hasOwn(target.prototype as object, name))
  if (own !== undefined) throw hides(target, own)
  const base: unknown = Object.getPrototypeOf(target)
  const mixed = mix(base === Function.prototype ? class {} : (base as Constructor))
  Object.setPrototypeOf(target, mixed)
  Object.setPrototypeOf(target.prototype, mixed.prototype as object)
}

/** A class without its own attachments would be one without attachments, and files be lost. */
export const hides = ({ name: type }: Target, field: string): ConfigurationError =>
  new ConfigurationError(
    `The class ${type} has '${field}' of its own, which hides the attachment: leave it out. ` +
      'withAttachments(…) types it; beside @HasAttachments(…), write `interface ' +
      `${type} extends Attached<typeof attachments> {}\`. Where it must be named, \`declare ${field}: …\` makes no field.`,
  )
