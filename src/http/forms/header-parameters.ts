import { InvalidInputError } from '../../errors/errors.ts'

/**
 * Parses the parameters of a header such as `form-data; name="a"; filename="b.txt"`; their names
 * are in lower case. It follows Rack, because clients break the grammar: a quoted value ends at the
 * first quote that is not escaped, another value at a space or semicolon, and the last parameter of
 * a name counts. The time is linear in the length of the text. Throws InvalidInputError for a quote
 * that is never closed, because the text after it may be another parameter.
 */
export function parseHeaderParameters(text: string): Map<string, string> {
  const found = new Map<string, string>()
  for (let at = text.indexOf(';'); at !== -1;) {
    const equals = text.indexOf('=', at)
    if (equals === -1) break
    // A parameter without a value may come before the name.
    const name = text
      .slice(text.lastIndexOf(';', equals) + 1, equals)
      .trim()
      .toLowerCase()
    const start = equals + 1 + countSpaces(text, equals + 1)
    const { value, end } =
      text[start] === '"' ? parseQuoted(text, start + 1, name) : parseUnquoted(text, start)
    found.set(name, value)
    at = text.indexOf(';', end)
  }
  return found
}

/** A value, and the position after it. */
interface ParsedValue {
  readonly value: string
  readonly end: number
}

const countSpaces = (text: string, at: number): number =>
  /^[ \t]*/.exec(text.slice(at, at + 100))?.[0].length ?? 0

function parseUnquoted(text: string, start: number): ParsedValue {
  const length = text.slice(start).search(/[\s;]/)
  const end = length === -1 ? text.length : start + length
  return { value: text.slice(start, end), end }
}

function parseQuoted(text: string, start: number, name: string): ParsedValue {
  let value = ''
  for (let at = start; at < text.length; at += 1) {
    const character = text[at]
    if (character === '"') return { value, end: at + 1 }
    if (character !== '\\') value += character
    else {
      at += 1
      // Some clients escape only quotes, so that a backslash in a filename is the separator of a
      // path.
      value += name === 'filename' && text[at] !== '"' ? `\\${text[at] ?? ''}` : (text[at] ?? '')
    }
  }
  throw new InvalidInputError(
    `A header of the form has a quote that is never closed: ${JSON.stringify(text.slice(0, 100))}.`,
    {
      publicMessage:
        'The form could not be read: a name of a field or file is invalid. Rename the file and send the form again.',
    },
  )
}
