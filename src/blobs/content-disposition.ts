import { sanitize, transliterate } from './filename.ts'

const escape = (text: string, safe: RegExp): string =>
  [...Buffer.from(text)]
    .map((byte) => String.fromCharCode(byte))
    .map((character) =>
      safe.test(character)
        ? character
        : `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('')

/** A whole Content-Disposition header in Rails' form: an ASCII name for old clients, and the real one. */
export function contentDisposition(disposition: 'inline' | 'attachment', filename: string): string {
  const name = sanitize(filename)
  const ascii = escape(transliterate(name), /^[ A-Za-z0-9!#$+.^_`|~-]$/)
  const utf8 = escape(name, /^[A-Za-z0-9!#$&+.^_`|~-]$/)
  return `${disposition}; filename="${ascii}"; filename*=UTF-8''${utf8}`
}
