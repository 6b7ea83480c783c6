import type { Sink } from './sink.ts'
import { unreadableForm } from './unreadable-form.ts'

/**
 * Decodes the bytes of a part. Throws InvalidInputError for an unknown encoding, whose file would
 * be stored broken.
 */
export function decodePart(encoding: string, sink: Sink): Sink {
  if (['', '7bit', '8bit', 'binary'].includes(encoding)) return sink
  if (encoding === 'base64') return decodeBase64(sink)
  const name = JSON.stringify(encoding.slice(0, 50))
  throw unreadableForm(
    `A part of the form has the Content-Transfer-Encoding ${name}: send it as binary or base64.`,
  )
}

function decodeBase64(sink: Sink): Sink {
  // Four characters are three bytes. Characters left over wait for the next piece.
  let rest = ''
  return {
    write(piece) {
      const text =
        rest +
        Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
          .toString('latin1')
          .replaceAll(/\s+/g, '')
      if (!/^[A-Za-z\d+/]*={0,2}$/.test(text))
        throw unreadableForm('A part of the form is declared as base64, but is not.')
      // The last four are kept, because they may be padded, and then nothing may follow.
      const whole = Math.max(0, text.length - (text.length % 4) - 4)
      rest = text.slice(whole)
      if (whole > 0) sink.write(Buffer.from(text.slice(0, whole), 'base64'))
    },
    end() {
      const bare = rest.replace(/=+$/, '')
      if (bare.length % 4 === 1) throw unreadableForm('A part of the form ends within its base64.')
      if (bare !== '') sink.write(Buffer.from(bare, 'base64'))
      sink.end()
    },
  }
}
