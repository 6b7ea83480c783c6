/**
 * Reads a table such as `jpeg jpg jpe; tiff tif`: each entry begins with the value of its other
 * words. Returns values by word.
 */
export function readWordTable(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split(';').flatMap((entry) => {
      const [word = '', ...others] = entry.trim().split(/\s+/)
      return others.map((other): [string, string] => [other, word])
    }),
  )
}
