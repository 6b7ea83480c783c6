import type { AttachmentDefinition } from '../attached/context.ts'
import type { RecordSource } from '../database/database.ts'

type HookMethod = (...given: readonly unknown[]) => unknown

/** Hooks that are methods of the record's class, after those of the definition. */
export function withHookMethods(
  definition: AttachmentDefinition,
  name: string,
  source: RecordSource | null,
): AttachmentDefinition {
  if (source === null) return definition
  const method = (suffix: string): HookMethod | undefined =>
    source.hasMethod(name + suffix)
      ? // A class that extends it may not have the method.
        (record, ...given) =>
          (record as Record<string, HookMethod | undefined>)[name + suffix]?.call(record, ...given)
      : undefined
  const both = (option: unknown, own: HookMethod | undefined): never => {
    const first = option as HookMethod | undefined
    if (first === undefined || own === undefined) return (first ?? own) as never
    return (async (...given: readonly unknown[]) => {
      await first(...given)
      await own(...given)
    }) as never
  }
  const filename: AttachmentDefinition['useFilename'] = (record, given) => {
    const own = (record as Record<string, HookMethod | undefined>)[`${name}Filename`]
    if (own !== undefined) return own.call(record, given) as string
    return typeof definition.useFilename === 'function'
      ? definition.useFilename(record, given)
      : definition.useFilename
  }
  const { afterUpload, afterUploadAll, errorUpload } = definition.hooks
  return {
    ...definition,
    useFilename: source.hasMethod(`${name}Filename`) ? filename : definition.useFilename,
    hooks: {
      afterUpload: both(afterUpload, method('AfterUpload')),
      afterUploadAll: both(afterUploadAll, method('AfterUploadAll')),
      errorUpload: both(errorUpload, method('ErrorUpload')),
    },
  }
}
