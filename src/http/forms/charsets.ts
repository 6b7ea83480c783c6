import { InvalidInputError } from '../../errors/errors.ts'

/** Text in a charset that its sender names. Default UTF-8. Throws InvalidInputError for a charset that nobody knows. */
export function decodeText(bytes: Uint8Array, charset: string | undefined, what: string): string {
  if (charset === undefined || /^utf-?8$/i.test(charset))
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
  let decoder: TextDecoder
  try {
    decoder = new TextDecoder(charset, { ignoreBOM: true })
  } catch (error) {
    const named = JSON.stringify(charset.slice(0, 50))
    throw new InvalidInputError(
      `${what} is in the charset ${named}, which is not known: send UTF-8.`,
      {
        cause: error,
        publicMessage: `${what} is written in a way that cannot be read (${named}). Send it as UTF-8.`,
      },
    )
  }
  return decoder.decode(bytes)
}

/** A percent sign that encodes nothing stays. */
export function decodePercent(text: string): Buffer {
  const bytes = text.replaceAll(/%([\da-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  )
  return Buffer.from(bytes, 'latin1')
}
