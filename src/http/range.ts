/** Inclusive positions. */
export type ByteRange = readonly [start: number, end: number]

/**
 * What a Range header asks for of `size` bytes. null: all of it, because the header is no range of HTTP and is ignored.
 * 'unsatisfiable': nothing of it is there, or it asks for several ranges at once, which Rails refuses too, for the work that
 * they make.
 */
export function parseRange(
  header: string | null,
  size: number,
): ByteRange | 'unsatisfiable' | null {
  const spec = header === null || header.length > 1000 ? null : /^bytes=(.+)$/i.exec(header.trim())
  if (spec === null) return null
  const parts = (spec[1] ?? '').split(',').map(parseRangeSpec)
  if (parts.includes(null)) return null
  const [first] = parts
  if (parts.length > 1 || first === null || first === undefined) return 'unsatisfiable'
  const { from, to } = first
  if (from === '') {
    const length = Math.min(Number(to), size)
    return length === 0 ? 'unsatisfiable' : [size - length, size - 1]
  }
  const start = Number(from)
  return start >= size
    ? 'unsatisfiable'
    : [start, to === '' ? size - 1 : Math.min(Number(to), size - 1)]
}

/** null: it is no range (RFC 9110, 14.1.1), as one whose end comes before its start. */
function parseRangeSpec(text: string): { readonly from: string; readonly to: string } | null {
  const [, from = '', to = ''] = /^\s*(\d*)-(\d*)\s*$/.exec(text) ?? []
  if (from === '' ? to === '' : to !== '' && Number(to) < Number(from)) return null
  return { from, to }
}
