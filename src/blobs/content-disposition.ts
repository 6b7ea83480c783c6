import { sanitizeFilename, transliterate } from './filename.ts'

const percentEncode = (text: string, safe: RegExp): string =>
  [...Buffer.from(text)]
    .map((byte) => String.fromCharCode(byte))
    .map((character) =>
      safe.test(character)
        ? character
        : `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('')

/** A whole Content-Disposition header in Rails' form: an ASCII name for old clients, and the real one. */
export function toContentDisposition(
  disposition: 'inline' | 'attachment',
  filename: string,
): string {
  const name = sanitizeFilename(filename)
  const ascii = percentEncode(transliterate(name), /^[ A-Za-z0-9!#$+.^_`|~-]$/)
  const utf8 = percentEncode(name, /^[A-Za-z0-9!#$&+.^_`|~-]$/)
  return `${disposition}; filename="${ascii}"; filename*=UTF-8''${utf8}`
}
