/** Character sets of MySQL and MariaDB that hold every character. */
export const FULL_UNICODE_CHARSETS: readonly string[] = [
  'utf8mb4',
  'utf16',
  'utf16le',
  'utf32',
  'gb18030',
]
