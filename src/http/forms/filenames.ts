/** Decodes `%22`, `%0D` and `%0A`, the only characters that browsers escape in a filename. */
const unescapeQuotes = (filename: string): string =>
  filename.replaceAll(/%(?:22|0D|0A)/g, decodeURIComponent)

const splitPath = (filename: string): string[] => unescapeQuotes(filename).split(/[/\\]/)
/**
 * Returns whether a name is empty, or only dots and spaces. Some systems read such a name as the
 * folder itself, or the one above.
 */
const isDotsOnly = (part: string): boolean => /^[\s.]*$/.test(part)

/** Returns the name without its folders, as Rack does; 'file' when nothing is left. */
export function stripFolders(filename: string): string {
  return splitPath(filename).findLast((part) => !isDotsOnly(part)) ?? 'file'
}

/**
 * Returns the name with its folders, as inputs with `webkitdirectory` send it: 'album/2023/a.jpg'.
 * The path always stays below the folder that it is written to: it has no drive, no `..`, and no
 * invisible characters.
 */
export function sanitizePath(filename: string): string {
  const parts = splitPath(filename)
    .map((part) => part.replaceAll(/[\p{Cc}\u202A-\u202E\u2066-\u2069]/gu, ''))
    .filter((part) => !isDotsOnly(part) && !/^[A-Za-z]:$/.test(part))
  // Windows resolves 'C:a.txt' on another drive.
  return parts.length === 0 ? 'file' : parts.join('/').replace(/^([A-Za-z]):/, '$1-')
}
