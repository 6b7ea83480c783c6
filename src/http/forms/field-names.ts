import { InvalidInputError } from '../../errors/errors.ts'
import { formatValue } from '../../errors/message.ts'

/** Meaning of a field: a value, or a part of an attachment's input. */
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

/** Returns the names of a model in forms: `blogPost`, and `blog_post` as in Rails. */
export function scopesOf(model: string): string[] {
  const camel = model.replaceAll('::', '')
  return [camel.slice(0, 1).toLowerCase() + camel.slice(1), toSnakeCase(model)]
}

/**
 * Maps all names of attachments in forms to attachments: `photo`, `photo_tmp` and `photoTmp` are
 * the same.
 */
export function listAliases(attachments: Iterable<string>): ReadonlyMap<string, string> {
  const all = [...attachments]
  const aliases = all.flatMap((attachment) =>
    [
      `${attachment}Tmp`,
      `${attachment}_tmp`,
      toSnakeCase(attachment),
      `${toSnakeCase(attachment)}_tmp`,
    ].map((alias) => [alias, attachment] as const),
  )
  // The real name of an attachment wins over an alias of another.
  return new Map([...aliases, ...all.map((attachment) => [attachment, attachment] as const)])
}

const ATTACHMENT_PARTS = new Map<string, 'files' | 'deletedIds' | 'cleanBefore'>([
  ['files', 'files'],
  ['deleted_ids', 'deletedIds'],
  ['deletedIds', 'deletedIds'],
  ['clean_before', 'cleanBefore'],
  ['cleanBefore', 'cleanBefore'],
])

/**
 * Parses a name as Rails does: `user[certificates_tmp][files][]`. `scopes` are the possible names
 * before the first bracket; null: names have no brackets. Throws InvalidInputError for an unknown
 * part of an attachment.
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
  const attachment = isScoped ? aliases.get(path[0] ?? '') : undefined
  if (attachment === undefined) {
    const isList = keys.length > 0 && keys.at(-1) === ''
    const [first = head, ...inner] = isScoped ? path : [head, ...keys]
    const visible = isList ? inner.slice(0, -1) : inner
    return {
      kind: 'value',
      key: [first, ...visible.map((key) => `[${key}]`)].join(''),
      isScoped,
      isList,
    }
  }
  const [, below = ''] = path
  // The name of a list, or of one of its numbered items.
  if (/^\d*$/.test(below) && path.length <= 2)
    return { kind: 'attachment', attachment, part: 'files' }
  const part = ATTACHMENT_PARTS.get(below)
  if (part === undefined || path.length > 3)
    throw new InvalidInputError(
      `${formatValue(name)} is no part of ${attachment}; its parts are files, deleted_ids and clean_before.`,
      {
        details: { attachment },
      },
    )
  return { kind: 'attachment', attachment, part }
}
