import { InvalidInputError } from '../../errors/errors.ts'

/**
 * The parameters of a header such as `form-data; name="a"; filename="b.txt"`, by their names in lower case. Read as Rack reads
 * them, because clients send what no grammar allows: a quoted value ends at the first quote that is not escaped, one without
 * quotes at a space or a semicolon, and of a name that comes twice the last one counts. Linear in the length of the text.
 * Throws InvalidInputError where a quote is never closed: what comes after it may be another parameter.
 */
export function parseHeaderParameters(text: string): Map<string, string> {
  const found = new Map<string, string>()
  for (let at = text.indexOf(';'); at !== -1;) {
    const equals = text.indexOf('=', at)
    if (equals === -1) break
    // A parameter without a value may stand between.
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
      // In the name of a file it may be the separator of a path, of a client that escapes nothing but quotes.
      value += name === 'filename' && text[at] !== '"' ? `\\${text[at] ?? ''}` : (text[at] ?? '')
    }
  }
  throw new InvalidInputError(
    `A header of the form has a quote that is never closed: ${JSON.stringify(text.slice(0, 100))}.`,
    {
      publicMessage:
        'The form could not be read: the name of a field or of a file is not valid. Rename the file and send the form again.',
    },
  )
}
