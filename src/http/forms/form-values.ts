import type { FieldTarget } from './field-names.ts'

/** Without a prototype: no name of a field reaches one. */
export type FormValueObject = Record<string, string | string[]>

export interface FormValues {
  add(target: FieldTarget & { readonly kind: 'value' }, value: string): void
  toObject(): FormValueObject
}

/** As Rails reads them: `[]` makes a list, of a name that comes twice the last one counts. */
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
    // The model's own come before what else has the same name.
    toObject: () => Object.assign(empty(), others, scoped),
  }
}
