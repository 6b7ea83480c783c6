import type { SlotDefinition } from '../attached/scope.ts'
import type { RecordSource } from '../database/database.ts'

type Method = (...given: readonly unknown[]) => unknown

/** Hooks that are methods of the record's class, after those of the definition. */
export function withHookMethods(
  definition: SlotDefinition,
  name: string,
  source: RecordSource | null,
): SlotDefinition {
  if (source === null) return definition
  const method = (suffix: string): Method | undefined =>
    source.has(name + suffix)
      ? // A class that extends it may not have the method.
        (record, ...given) =>
          (record as Record<string, Method | undefined>)[name + suffix]?.call(record, ...given)
      : undefined
  const both = (option: unknown, own: Method | undefined): never => {
    const first = option as Method | undefined
    if (first === undefined || own === undefined) return (first ?? own) as never
    return (async (...given: readonly unknown[]) => {
      await first(...given)
      await own(...given)
    }) as never
  }
  const filename: SlotDefinition['useFilename'] = (record, given) => {
    const own = (record as Record<string, Method | undefined>)[`${name}Filename`]
    if (own !== undefined) return own.call(record, given) as string
    return typeof definition.useFilename === 'function'
      ? definition.useFilename(record, given)
      : definition.useFilename
  }
  const { afterUpload, afterUploadAll, errorUpload } = definition.hooks
  return {
    ...definition,
    useFilename: source.has(`${name}Filename`) ? filename : definition.useFilename,
    hooks: {
      afterUpload: both(afterUpload, method('AfterUpload')),
      afterUploadAll: both(afterUploadAll, method('AfterUploadAll')),
      errorUpload: both(errorUpload, method('ErrorUpload')),
    },
  }
}
