import type { InvalidInputError } from '../../errors/errors.ts'
import type { Sink } from './sink.ts'
import { unreadableForm } from './unreadable-form.ts'

/** Bytes of a part's head, and of what comes before the first part. */
const MAX_HEAD_BYTES = 16 * 1024
const MAX_PREAMBLE_BYTES = 64 * 1024
/** Spaces after a boundary. No client sends any, but what carries a form may add some. */
const MAX_PADDING_BYTES = 100

/**
 * Finds the parts of a form (RFC 2046, 5.1.1) in its pieces, and hands the bytes of each to what `open` returns for its head.
 * Nothing is held but a head, or what may be the beginning of a boundary. The first error ends it: what is left of the piece
 * is not looked at.
 */
export function createPartSplitter(boundary: string, open: (head: string) => Sink): Sink {
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1')
  // As if a line ended before: a form begins with a boundary.
  let rest: Buffer = Buffer.from('\r\n')
  let state = 'preamble' as 'preamble' | 'head' | 'body' | 'epilogue'
  let preamble = 0
  let sink: Sink | null = null
  // The line end of a head is kept: where the body is empty, some clients let the boundary follow at once.
  let kept = 0
  // How far an unfinished head was searched for its end.
  let searched = 0

  const pass = (buffer: Buffer, from: number, to: number): void => {
    if (state === 'preamble' && (preamble += to - from) > MAX_PREAMBLE_BYTES)
      throw brokenForm('its boundary does not come')
    if (to > from + kept) sink?.write(buffer.subarray(from + kept, to))
    kept = 0
  }

  /** Returns where it stopped, because the head goes on in the next piece. */
  const readHead = (buffer: Buffer, at: number): number | null => {
    const end = buffer.indexOf('\r\n\r\n', at + searched, 'latin1')
    if ((end === -1 ? buffer.length : end) - at > MAX_HEAD_BYTES)
      throw brokenForm(`a part has a head of more than ${MAX_HEAD_BYTES} bytes`)
    searched = end === -1 ? Math.max(0, buffer.length - at - 3) : 0
    if (end === -1) return null
    const head = buffer.subarray(at, end)
    if (head.includes(delimiter)) throw brokenForm('a part has a head without an end')
    sink = open(head.toString('latin1'))
    state = 'body'
    kept = 2
    return end + 2
  }

  const readBody = (buffer: Buffer, at: number): number | null => {
    const { found, kind, end } = findDelimiter(buffer, delimiter, at)
    if (kind === 'unknown') {
      if (found <= at + kept) return null
      pass(buffer, at, found)
      rest = buffer.subarray(found)
      return null
    }
    pass(buffer, at, found)
    sink?.end()
    sink = null
    state = kind === 'last' ? 'epilogue' : 'head'
    return end
  }

  const read = (buffer: Buffer, at: number): number | null => {
    if (state === 'epilogue') return null
    return state === 'head' ? readHead(buffer, at) : readBody(buffer, at)
  }

  return {
    write(piece) {
      if (state === 'epilogue') return
      const buffer = Buffer.concat([rest, piece])
      for (let at: number | null = 0; at !== null;) {
        rest = buffer.subarray(at)
        at = read(buffer, at)
      }
    },
    end() {
      if (state !== 'epilogue') throw brokenForm('its last boundary is missing')
    },
  }
}

/**
 * Where a boundary begins that is one, and where it ends with the spaces after it; 'unknown': where one may begin, of which
 * the rest is to come.
 */
function findDelimiter(
  buffer: Buffer,
  delimiter: Buffer,
  from: number,
): { readonly found: number; readonly kind: 'part' | 'last' | 'unknown'; readonly end: number } {
  for (
    let found = buffer.indexOf(delimiter, from);
    found !== -1;
    found = buffer.indexOf(delimiter, found + 1)
  ) {
    const end = found + delimiter.length
    const after = buffer.toString('latin1', end, end + MAX_PADDING_BYTES)
    if (after.startsWith('--')) return { found, kind: 'last', end }
    const padding = /^[ \t]*(?=\r\n)/.exec(after)?.[0]
    if (padding !== undefined) return { found, kind: 'part', end: end + padding.length }
    if (after.length < MAX_PADDING_BYTES && /^(-|[ \t]*\r?)$/.test(after))
      return { found, kind: 'unknown', end }
  }
  return {
    found: Math.max(from, buffer.length - delimiter.length + 1),
    kind: 'unknown',
    end: buffer.length,
  }
}

const brokenForm = (why: string): InvalidInputError =>
  unreadableForm(`The form cannot be read: ${why}. Nothing was kept of it.`)
