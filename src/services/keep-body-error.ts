/**
 * Runs an upload and throws an error of its body as it is, where the upload would wrap it in an
 * error of its own. The reason of an aborted signal comes first.
 */
export async function keepBodyError(
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
  upload: (body: AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<void> {
  const bodyErrors: unknown[] = []
  const watched = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* body
    } catch (error) {
      bodyErrors.push(error)
      throw error
    }
  }
  try {
    await upload(watched())
  } catch (error) {
    signal?.throwIfAborted()
    throw bodyErrors.length > 0 ? bodyErrors[0] : error
  }
}
