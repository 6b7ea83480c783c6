import type { Target } from './names.ts'

/** Without a prototype: no name of a field reaches one. */
export type Values = Record<string, string | string[]>

export interface FormValues {
  add(target: Target & { readonly kind: 'value' }, value: string): void
  all(): Values
}

/** As Rails reads them: `[]` makes a list, of a name that comes twice the last one counts. */
export function formValues(): FormValues {
  const empty = (): Values => Object.create(null) as Values
  const scoped = empty()
  const others = empty()
  return {
    add({ key, isScoped, isList }, value) {
      const values = isScoped ? scoped : others
      const before = values[key]
      values[key] = isList ? [...(Array.isArray(before) ? before : []), value] : value
    },
    // The model's own come before what else has the same name.
    all: () => Object.assign(empty(), others, scoped),
  }
}
