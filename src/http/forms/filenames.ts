/** Browsers escape what would end the header's quotes, and nothing else. */
const unescapeQuotes = (filename: string): string =>
  filename.replaceAll(/%(?:22|0D|0A)/g, decodeURIComponent)

const splitPath = (filename: string): string[] => unescapeQuotes(filename).split(/[/\\]/)
/** Empty, or of dots and spaces alone: on some system it is the folder itself, or the one above. */
const isDotsOnly = (part: string): boolean => /^[\s.]*$/.test(part)

/** The name without its folders, as Rack has it. 'file' where there is none. */
export function stripFolders(filename: string): string {
  return splitPath(filename).findLast((part) => !isDotsOnly(part)) ?? 'file'
}

/**
 * The name with its folders, as inputs with `webkitdirectory` send it: 'album/2023/a.jpg'. Always below where it is put: no
 * drive, no folder above, no character that is not shown.
 */
export function sanitizePath(filename: string): string {
  const parts = splitPath(filename)
    .map((part) => part.replaceAll(/[\p{Cc}\u202A-\u202E\u2066-\u2069]/gu, ''))
    .filter((part) => !isDotsOnly(part) && !/^[A-Za-z]:$/.test(part))
  // 'C:a.txt' is on another drive, where a path is resolved on Windows.
  return parts.length === 0 ? 'file' : parts.join('/').replace(/^([A-Za-z]):/, '$1-')
}
