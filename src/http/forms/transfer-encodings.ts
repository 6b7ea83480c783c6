import type { Sink } from './sink.ts'
import { unreadableForm } from './unreadable-form.ts'

/** Hands decoded bytes on. Throws InvalidInputError for an encoding that is not known: stored as it is, the file would be broken. */
export function decodePart(encoding: string, sink: Sink): Sink {
  if (['', '7bit', '8bit', 'binary'].includes(encoding)) return sink
  if (encoding === 'base64') return decodeBase64(sink)
  const named = JSON.stringify(encoding.slice(0, 50))
  throw unreadableForm(
    `A part of the form has the Content-Transfer-Encoding ${named}: send it as binary or base64.`,
  )
}

function decodeBase64(sink: Sink): Sink {
  // Four characters are three bytes; what is left of a piece waits for the next.
  let rest = ''
  return {
    write(piece) {
      const text =
        rest +
        Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
          .toString('latin1')
          .replaceAll(/\s+/g, '')
      if (!/^[A-Za-z\d+/]*={0,2}$/.test(text))
        throw unreadableForm('A part of the form is no base64, though it says so.')
      // The last four may be padded: then nothing may follow.
      const whole = Math.max(0, text.length - (text.length % 4) - 4)
      rest = text.slice(whole)
      if (whole > 0) sink.write(Buffer.from(text.slice(0, whole), 'base64'))
    },
    end() {
      const bare = rest.replace(/=+$/, '')
      if (bare.length % 4 === 1)
        throw unreadableForm('A part of the form breaks off within its base64.')
      if (bare !== '') sink.write(Buffer.from(bare, 'base64'))
      sink.end()
    },
  }
}
