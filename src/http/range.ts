/** Inclusive positions. */
export type ByteRange = readonly [start: number, end: number]

/**
 * What a Range header asks for of `size` bytes. null: all of it, for the header is none that HTTP knows; 'unsatisfiable':
 * nothing of it is there, or it asks for several ranges at once, which Rails refuses too, for the work that they make.
 */
export function parseRange(header: string | null, size: number): ByteRange | 'unsatisfiable' | null {
  const spec = header === null || header.length > 1000 ? null : /^bytes=(.+)$/i.exec(header.trim())
  if (spec === null) return null
  const parts = (spec[1] ?? '').split(',').map((part) => /^\s*(\d*)-(\d*)\s*$/.exec(part))
  if (parts.some((part) => part === null || (part[1] === '' && part[2] === ''))) return null
  const [first] = parts
  if (parts.length > 1 || first === null || first === undefined) return 'unsatisfiable'
  const [, from = '', to = ''] = first
  if (from === '') {
    const length = Math.min(Number(to), size)
    return length === 0 ? 'unsatisfiable' : [size - length, size - 1]
  }
  const start = Number(from)
  const end = to === '' ? size - 1 : Math.min(Number(to), size - 1)
  // An end before its start is no range at all, to HTTP; Rails refuses it.
  return start >= size || end < start ? 'unsatisfiable' : [start, end]
}
