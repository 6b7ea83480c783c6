/** Takes bytes in pieces: a form, or one part of it. Both methods throw at what cannot be read. */
export interface Sink {
  write(piece: Uint8Array): void
  end(): void
}
