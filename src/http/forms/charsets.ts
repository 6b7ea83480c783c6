import { InvalidInputError } from '../../errors/errors.ts'

/**
 * Decodes text in the charset that its sender names; default UTF-8. Throws InvalidInputError for an
 * unknown charset.
 */
export function decodeText(bytes: Uint8Array, charset: string | undefined, what: string): string {
  if (charset === undefined || /^utf-?8$/i.test(charset))
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
  let decoder: TextDecoder
  try {
    decoder = new TextDecoder(charset, { ignoreBOM: true })
  } catch (error) {
    const charsetName = JSON.stringify(charset.slice(0, 50))
    throw new InvalidInputError(
      `${what} is in the charset ${charsetName}, which is unknown: send UTF-8.`,
      {
        cause: error,
        publicMessage: `${what} cannot be read, because its charset (${charsetName}) is unknown. Send it as UTF-8.`,
      },
    )
  }
  return decoder.decode(bytes)
}

/** Decodes percent escapes. A percent sign that is no escape stays. */
export function decodePercent(text: string): Buffer {
  const bytes = text.replaceAll(/%([\da-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  )
  return Buffer.from(bytes, 'latin1')
}
