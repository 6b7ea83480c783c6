/** Opens something at its first use. */
export interface OpenOnce<T> {
  (): Promise<T>
  /** Waits for an opening that runs. Resolves to undefined if nothing is open. */
  opened(): Promise<T | undefined>
}

/** Makes a function that opens something once. After a failure the next call opens it again. */
export function openOnce<T>(open: () => Promise<T>): OpenOnce<T> {
  let opening: Promise<T> | undefined
  const openFirst = (): Promise<T> =>
    (opening ??= open().catch((error: unknown) => {
      opening = undefined
      throw error
    }))
  return Object.assign(openFirst, { opened: async () => opening?.catch(() => undefined) })
}
