import { ConfigurationError } from '../errors.ts'

/** Under what files are given: `photo` and `photoTmp`. */
export const fileKeys = (names: Iterable<string>): string[] =>
  [...names].flatMap((name) => [name, `${name}Tmp`])

const keysOf = (names: readonly string[]): string[] => [
  ...fileKeys(names),
  ...names.map((name) => `${name}DelayedUploads`),
]

const hidden = ({ name: type }: { readonly name: string }, key: string): ConfigurationError =>
  new ConfigurationError(
    `The class ${type} has '${key}' of its own, which hides the attachment. Remove it, or write "declare ${key}: …". To type it beside @HasAttachments(…): interface ${type} extends Attached<typeof attachments> {}.`,
  )

/** Throws ConfigurationError where a prototype has what an accessor is to be found behind. */
export function refuseMembers(
  type: { readonly name: string; readonly prototype: object },
  names: readonly string[],
): void {
  for (const key of keysOf(names)) if (Object.hasOwn(type.prototype, key)) throw hidden(type, key)
}

/** Throws ConfigurationError where a record has a field that was never given a value, and hides an accessor. */
export function refuseFields(record: object, names: readonly string[]): void {
  for (const key of keysOf(names))
    if (
      Object.hasOwn(record, key) &&
      (record as Record<string, unknown>)[key] === undefined &&
      key in Object.getPrototypeOf(record)
    )
      throw hidden(record.constructor, key)
}

/** As `refuseFields`, when a class is met. One that cannot be made without arguments is told when its first record is saved. */
export function refuseFieldsOf(type: new () => object, names: readonly string[]): void {
  let record: object
  try {
    record = new type()
  } catch {
    return
  }
  refuseFields(record, names)
}
