/**
 * Returns the extension as Ruby's `File.extname` does: '.gz' of 'a.tar.gz', '' of '.bashrc', '.' of
 * 'dot.'.
 */
export function getExtension(filename: string): string {
  const name = filename.slice(filename.lastIndexOf('/') + 1)
  // Leading dots belong to the name.
  return /^\.*[^.].*?(\.[^./]*)$/s.exec(name)?.[1] ?? ''
}

/** Makes a name safe to show and to save under. Rails 8's `ActiveStorage::Filename#sanitized`. */
export function sanitizeFilename(filename: string): string {
  return filename
    .toWellFormed()
    .replaceAll(/^[\0\t\n\v\f\r ]+|[\0\t\n\v\f\r ]+$/g, '')
    .replaceAll(/[\u202E%$|:;/\t\r\n\\\0<>?*"]/g, '-')
}

/**
 * Makes a name that can be stored: as it came, like Rails, but valid Unicode, without NUL, and at
 * most 255 bytes with its extension.
 */
export function normalizeFilename(filename: string): string {
  return truncateFilename(filename.toWellFormed().replaceAll('\0', ''), 255)
}

/**
 * Shortens a name to a number of UTF-8 bytes, never inside a character, and keeps its extension.
 */
export function truncateFilename(name: string, bytes: number): string {
  if (Buffer.byteLength(name) <= bytes) return name
  const suffix = getExtension(name)
  const kept = Buffer.byteLength(suffix) < bytes / 2 ? suffix : ''
  let base = ''
  let size = Buffer.byteLength(kept)
  for (const character of kept === '' ? name : name.slice(0, -kept.length)) {
    size += Buffer.byteLength(character)
    if (size > bytes) break
    base += character
  }
  return base + kept
}

/** Replacements of letters that Unicode does not decompose. */
const asciiReplacements: Readonly<Record<string, string>> = {
  ß: 'ss',
  æ: 'ae',
  Æ: 'AE',
  ø: 'o',
  Ø: 'O',
  đ: 'd',
  Đ: 'D',
  ð: 'd',
  Ð: 'D',
  þ: 'th',
  Þ: 'Th',
  ł: 'l',
  Ł: 'L',
  œ: 'oe',
  Œ: 'OE',
  ı: 'i',
  ħ: 'h',
  Ħ: 'H',
  ŋ: 'ng',
  Ŋ: 'NG',
  ĳ: 'ij',
  Ĳ: 'IJ',
  ŀ: 'l',
  Ŀ: 'L',
  '×': 'x',
  ŧ: 't',
  Ŧ: 'T',
  ĸ: 'k',
  ŉ: "'n",
}

/**
 * Replaces each character by ASCII that looks like it, as Ruby's I18n does. Others become question
 * marks.
 */
export function transliterate(text: string): string {
  return text.replaceAll(
    /[^\0-\x7f]/gu,
    (character) =>
      asciiReplacements[character] ??
      character
        .normalize('NFD')
        .replaceAll(/\p{M}/gu, '')
        .replace(/^$|[^\0-\x7f]/u, '?'),
  )
}

/**
 * Makes a name for URLs as ActiveSupport's `parameterize` does, which the gem's default name uses.
 * Non-Latin letters are dropped.
 */
export function parameterize(text: string): string {
  return transliterate(text.normalize('NFC'))
    .replaceAll(/[^a-zA-Z0-9_-]+/g, '-')
    .replaceAll(/-{2,}/g, '-')
    .replaceAll(/^-|-$/g, '')
    .toLowerCase()
}
