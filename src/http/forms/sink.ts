/**
 * Takes the bytes of a form, or of one part, in pieces. Both methods throw when the bytes are
 * invalid.
 */
export interface Sink {
  write(piece: Uint8Array): void
  end(): void
}
