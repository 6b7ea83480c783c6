import type { FieldTarget } from './field-names.ts'

/** Values by name. The object has no prototype, so that no field can change one. */
export type FormValueObject = Record<string, string | string[]>

/** Collects the values of a form. */
export interface FormValues {
  add(target: FieldTarget & { readonly kind: 'value' }, value: string): void
  toObject(): FormValueObject
}

/** Collects values as Rails does: `[]` makes a list, and the last value of another name counts. */
export function createFormValues(): FormValues {
  const empty = (): FormValueObject => Object.create(null) as FormValueObject
  const scoped = empty()
  const others = empty()
  return {
    add({ key, isScoped, isList }, value) {
      const values = isScoped ? scoped : others
      const before = values[key]
      values[key] = isList ? [...(Array.isArray(before) ? before : []), value] : value
    },
    // Values of the model win over others with the same name.
    toObject: () => Object.assign(empty(), others, scoped),
  }
}
