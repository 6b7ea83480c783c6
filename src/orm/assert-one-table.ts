import { ConfigurationError } from '../errors/errors.ts'

/** Throws ConfigurationError where classes with one attachments object are in tables of their own: records are told apart by id. */
export function assertOneTable<C>(
  classes: readonly C[],
  of: (each: C) => { readonly name: string; readonly table: string },
): void {
  const [first, ...others] = classes.map(of)
  const another = others.find(({ table }) => table !== first?.table)
  if (first !== undefined && another !== undefined)
    throw new ConfigurationError(
      `${first.name} (${first.table}) and ${another.name} (${another.table}) have the same attachments object, so each would show and delete the other's files. Give each class an object of its own, with its name in models.`,
    )
}
