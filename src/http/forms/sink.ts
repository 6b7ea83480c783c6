/**
 * Takes the bytes of a form, or of one part, in pieces. Both methods throw when the bytes are
 * invalid.
 */
export interface Sink {
  /** Takes the next bytes. */
  write(piece: Uint8Array): void
  /** Called after the last bytes. */
  end(): void
}
