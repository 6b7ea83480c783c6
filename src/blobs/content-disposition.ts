import { sanitizeFilename, transliterate } from './filename.ts'

/** Percent-encodes each byte of a text that is not safe. */
const percentEncode = (text: string, safe: RegExp): string =>
  [...Buffer.from(text)]
    .map((byte) => String.fromCharCode(byte))
    .map((character) =>
      safe.test(character)
        ? character
        : `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('')

/**
 * Writes a whole Content-Disposition header in Rails' form: with an ASCII name for old clients, and
 * the real name.
 */
export function toContentDisposition(
  disposition: 'inline' | 'attachment',
  filename: string,
): string {
  const name = sanitizeFilename(filename)
  const ascii = percentEncode(transliterate(name), /^[ A-Za-z0-9!#$+.^_`|~-]$/)
  const utf8 = percentEncode(name, /^[A-Za-z0-9!#$&+.^_`|~-]$/)
  return `${disposition}; filename="${ascii}"; filename*=UTF-8''${utf8}`
}
