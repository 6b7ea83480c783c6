import { ConfigurationError } from '../errors/errors.ts'

/** Lists the keys under which files are given: `photo` and `photoTmp`. */
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
    `The class ${type} has its own '${key}', which hides the attachment. Remove it, or write "declare ${key}: …". Beside @HasAttachments: interface ${type} extends WithAttachments<typeof attachments> {}.`,
  )

/**
 * Throws ConfigurationError if the prototype of a class has members of its own that would hide
 * accessors behind it.
 */
export function refusePrototypeMembers(
  type: { readonly name: string; readonly prototype: object },
  names: readonly string[],
): void {
  for (const key of reservedKeysOf(names))
    if (Object.hasOwn(type.prototype, key)) throw hiddenMemberError(type, key)
}

/** Throws ConfigurationError if a record has a field without a value that hides an accessor. */
export function refuseHidingFields(record: object, names: readonly string[]): void {
  for (const key of reservedKeysOf(names)) {
    const field = Object.getOwnPropertyDescriptor(record, key)
    if (field === undefined || Reflect.get(record, key) !== undefined) continue
    if (key in Object.getPrototypeOf(record)) throw hiddenMemberError(record.constructor, key)
  }
}

/**
 * Calls `refuseHidingFields` for a class, when the library first sees it. A class whose constructor
 * throws without arguments is checked when its first record is saved.
 */
export function refuseHidingFieldsOfClass(type: new () => object, names: readonly string[]): void {
  let record: object
  try {
    record = new type()
  } catch {
    return
  }
  refuseHidingFields(record, names)
}
