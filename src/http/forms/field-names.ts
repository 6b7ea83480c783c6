import { InvalidInputError } from '../../errors/errors.ts'

/** What a field of a form is for. */
export type FieldTarget =
  | {
      readonly kind: 'value'
      readonly key: string
      readonly isScoped: boolean
      readonly isList: boolean
    }
  | {
      readonly kind: 'attachment'
      readonly attachment: string
      readonly part: 'files' | 'deletedIds' | 'cleanBefore'
    }

const toSnakeCase = (name: string): string =>
  name
    .replaceAll(/([a-z\d])([A-Z])/g, '$1_$2')
    .replaceAll('::', '_')
    .toLowerCase()

/** Names that a model has in forms: `blogPost` and `blog_post`, as Rails has it. */
export function scopesOf(model: string): string[] {
  const camel = model.replaceAll('::', '')
  return [camel.slice(0, 1).toLowerCase() + camel.slice(1), toSnakeCase(model)]
}

/** `photo`, `photo_tmp` and `photoTmp` are the same attachment. */
export function listAliases(slots: Iterable<string>): ReadonlyMap<string, string> {
  const all = [...slots]
  const aliases = all.flatMap((slot) =>
    [`${slot}Tmp`, `${slot}_tmp`, toSnakeCase(slot), `${toSnakeCase(slot)}_tmp`].map(
      (alias) => [alias, slot] as const,
    ),
  )
  // A name that an attachment really has comes before what another one may be called.
  return new Map([...aliases, ...all.map((slot) => [slot, slot] as const)])
}

const ATTACHMENT_PARTS = new Map<string, 'files' | 'deletedIds' | 'cleanBefore'>([
  ['files', 'files'],
  ['deleted_ids', 'deletedIds'],
  ['deletedIds', 'deletedIds'],
  ['clean_before', 'cleanBefore'],
  ['cleanBefore', 'cleanBefore'],
])

/**
 * Reads a name as Rails does: `user[certificates_tmp][files][]`. `scopes` are the names before the first bracket; null: names
 * are flat. Throws InvalidInputError for what is below an attachment and is none of its parts.
 */
export function parseFieldName(
  name: string,
  scopes: readonly string[] | null,
  aliases: ReadonlyMap<string, string>,
): FieldTarget {
  const [, head = '', rest = ''] = /^([^[]*)((?:\[[^[\]]*\])*)$/.exec(name) ?? [name, name]
  const keys = [...rest.matchAll(/\[([^[\]]*)\]/g)].map(([, key = '']) => key)
  const isScoped = scopes === null || (scopes.includes(head) && keys.length > 0)
  const path = scopes === null ? [head, ...keys] : isScoped ? keys : []
  const slot = isScoped ? aliases.get(path[0] ?? '') : undefined
  if (slot === undefined) {
    const isList = keys.length > 0 && keys.at(-1) === ''
    const [first = head, ...inner] = isScoped ? path : [head, ...keys]
    const shown = isList ? inner.slice(0, -1) : inner
    return {
      kind: 'value',
      key: [first, ...shown.map((key) => `[${key}]`)].join(''),
      isScoped,
      isList,
    }
  }
  const [, below = ''] = path
  // A list, or its numbered items.
  if (/^\d*$/.test(below) && path.length <= 2)
    return { kind: 'attachment', attachment: slot, part: 'files' }
  const part = ATTACHMENT_PARTS.get(below)
  if (part === undefined || path.length > 3)
    throw new InvalidInputError(
      `${JSON.stringify(name)} names nothing of ${slot}: it has files, deleted_ids and clean_before.`,
      {
        details: { attachment: slot },
      },
    )
  return { kind: 'attachment', attachment: slot, part }
}
