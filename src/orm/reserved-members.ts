import { ConfigurationError } from '../errors/errors.ts'

/** Under what files are given: `photo` and `photoTmp`. */
export const fileKeysOf = (names: Iterable<string>): string[] =>
  [...names].flatMap((name) => [name, `${name}Tmp`])

const reservedKeysOf = (names: readonly string[]): string[] => [
  ...fileKeysOf(names),
  ...names.map((name) => `${name}DelayedUploads`),
]

const hiddenMemberError = (
  { name: type }: { readonly name: string },
  key: string,
): ConfigurationError =>
  new ConfigurationError(
    `The class ${type} has '${key}' of its own, which hides the attachment. Remove it, or write "declare ${key}: …". To type it beside @HasAttachments(…): interface ${type} extends Attached<typeof attachments> {}.`,
  )

/** Throws ConfigurationError where a prototype has what an accessor is to be found behind. */
export function refusePrototypeMembers(
  type: { readonly name: string; readonly prototype: object },
  names: readonly string[],
): void {
  for (const key of reservedKeysOf(names))
    if (Object.hasOwn(type.prototype, key)) throw hiddenMemberError(type, key)
}

/** Throws ConfigurationError where a record has a field that was never given a value, and hides an accessor. */
export function refuseHidingFields(record: object, names: readonly string[]): void {
  for (const key of reservedKeysOf(names))
    if (
      Object.hasOwn(record, key) &&
      (record as Record<string, unknown>)[key] === undefined &&
      key in Object.getPrototypeOf(record)
    )
      throw hiddenMemberError(record.constructor, key)
}

/** As `refuseFields`, when a class is met. One that cannot be made without arguments is told when its first record is saved. */
export function refuseHidingFieldsOfClass(type: new () => object, names: readonly string[]): void {
  let record: object
  try {
    record = new type()
  } catch {
    return
  }
  refuseHidingFields(record, names)
}
