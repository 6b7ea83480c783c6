import { createHash } from 'node:crypto'

export interface Md5Hash {
  update(data: Uint8Array): void
  /** Base64, as Rails stores it. */
  digest(): string
}

export function createMd5(): Md5Hash {
  const hash = createHash('md5')
  return {
    update: (data) => {
      hash.update(data)
    },
    digest: () => hash.digest('base64'),
  }
}
