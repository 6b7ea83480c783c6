/**
 * A value in a message of Rails. A registered JavaScript symbol (`Symbol.for('local')`) is a Ruby
 * symbol. Keys of a plain object are Ruby symbols, as in `{ key: … }`.
 */
export type RailsValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | symbol
  | readonly RailsValue[]
  | { readonly [key: string]: RailsValue }

/** Returns the text of a Ruby symbol. */
export const toSymbolName = (symbol: symbol): string =>
  Symbol.keyFor(symbol) ?? String(symbol.description)

/** Marshal counts the digits of a large integer in units of this many bytes. */
export const BIGNUM_UNIT_BYTES = 2
