import type { Awaitable } from '../async/awaitable.ts'
import type { AttachmentDefinition } from '../attached/context.ts'
import type { RecordSource } from '../database/database.ts'
import { hasMethod } from './object-guards.ts'

/**
 * Adds the hooks that are methods of the record's class, such as `photoAfterUpload`. They run after
 * those of the definition. `name` is the attachment's, `source` the ORM's records; null: no ORM has
 * them.
 */
export function withHookMethods(
  definition: AttachmentDefinition,
  name: string,
  source: RecordSource | null,
): AttachmentDefinition {
  if (source === null) return definition
  const { useFilename, hooks } = definition
  const [filename, each, all, failed] = ['Filename', 'AfterUpload', 'AfterUploadAll', 'ErrorUpload']
    .map((suffix) => name + suffix)
    .map((method) => (source.hasMethod(method) ? method : undefined))
  return {
    ...definition,
    useFilename: filename === undefined ? useFilename : withFilenameMethod(useFilename, filename),
    hooks: {
      ...hooks,
      ...(each !== undefined && { afterUpload: withMethod(hooks.afterUpload, each) }),
      ...(all !== undefined && { afterUploadAll: withMethod(hooks.afterUploadAll, all) }),
      ...(failed !== undefined && { errorUpload: withMethod(hooks.errorUpload, failed) }),
    },
  }
}

type Hook<Given extends readonly unknown[]> = (record: never, ...given: Given) => Awaitable<void>

function withMethod<Given extends readonly unknown[]>(
  hook: Hook<Given> | undefined,
  method: string,
): Hook<Given> {
  return async (record, ...given) => {
    await hook?.(record, ...given)
    await callMethod(record, method, given)
  }
}

/**
 * Calls a method of a record. undefined: its class has none, for only some of the classes in one
 * table may have it.
 */
function callMethod(record: unknown, method: string, given: readonly unknown[]): unknown {
  if (!hasMethod(record, method)) return undefined
  const { [method]: call } = record
  return call === undefined ? undefined : Reflect.apply(call, record, given)
}

function withFilenameMethod(
  useFilename: AttachmentDefinition['useFilename'],
  method: string,
): AttachmentDefinition['useFilename'] {
  return async (record, given) => {
    if (hasMethod(record, method)) {
      const filename = await callMethod(record, method, [given])
      // The uploader refuses an empty name.
      return typeof filename === 'string' || typeof filename === 'boolean' ? filename : ''
    }
    return typeof useFilename === 'function' ? useFilename(record, given) : useFilename
  }
}
