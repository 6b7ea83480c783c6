/** Positions of the first and the last byte, both included. */
export type ByteRange = readonly [start: number, end: number]

/**
 * Parses a Range header for `size` bytes. null: the header is not a byte range and is ignored, so
 * that all bytes are sent. 'unsatisfiable': no byte of the range exists, or the header asks for
 * several ranges, which Rails refuses too because of the work they cause.
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

/**
 * Parses one range. null: it is invalid (RFC 9110, 14.1.1), such as a range whose end is before its
 * start.
 */
function parseRangeSpec(text: string): { readonly from: string; readonly to: string } | null {
  const [, from = '', to = ''] = /^\s*(\d*)-(\d*)\s*$/.exec(text) ?? []
  if (from === '' ? to === '' : to !== '' && Number(to) < Number(from)) return null
  return { from, to }
}
