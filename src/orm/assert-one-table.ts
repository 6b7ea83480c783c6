import { ConfigurationError } from '../errors/errors.ts'

/**
 * Throws ConfigurationError if classes with one attachments object have several tables. The library
 * knows a record by model and id, and the same id may be in each table.
 */
export function assertOneTable<C>(
  classes: readonly C[],
  describe: (each: C) => { readonly name: string; readonly table: string },
): void {
  const [first, ...others] = classes.map(describe)
  const another = others.find(({ table }) => table !== first?.table)
  if (first !== undefined && another !== undefined)
    throw new ConfigurationError(
      `${first.name} (${first.table}) and ${another.name} (${another.table}) share an attachments object: each would show and delete the other's files. Give each class its own, with its name in models.`,
    )
}
