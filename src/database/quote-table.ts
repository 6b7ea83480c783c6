/** Quotes the name of a table, with its schema where it has one. */
export function quoteTable(name: string, quote: '"' | '`' = '"'): string {
  return name
    .split('.')
    .map((part) => `${quote}${part}${quote}`)
    .join('.')
}
