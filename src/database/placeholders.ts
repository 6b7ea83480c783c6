import { ConfigurationError } from '../errors/errors.ts'
import type { Dialect } from './database.ts'
import type { Executor, Parameter, PortableExecutor } from './executor.ts'
import { toParameter } from './parameters.ts'
import { splitStatement } from './statement-parts.ts'

/**
 * The form in which a binding takes parameters: 'numbered' is `$1`, 'question' is `?`, 'marked' is
 * the character U+0001, for a binding that takes the text in pieces and so needs no escapes.
 */
export type PlaceholderStyle = 'numbered' | 'question' | 'marked'

/** The character that stands for a parameter in the style 'marked'. */
export const PLACEHOLDER_MARK = '\u0001'

/** Writes the placeholder of the parameter with this number, which starts at 1. */
export function formatPlaceholder(style: PlaceholderStyle, number: number): string {
  if (style === 'numbered') return `$${number}`
  return style === 'question' ? '?' : PLACEHOLDER_MARK
}

/** A statement and its parameters, as a binding takes them. */
export interface BoundStatement {
  readonly sql: string
  /** The values in the order of the placeholders. */
  readonly parameters: readonly Parameter[]
}

/**
 * Converts a statement with `$1` placeholders to the binding's own style. A `$1` in text, in a
 * quoted name, in a comment or between dollar quotes stays as it is. In a style without numbers, a
 * repeated parameter is sent again. Throws ConfigurationError for a placeholder without a value,
 * and for a character that the style cannot carry: a `?` outside of quotes with 'question', U+0001
 * with 'marked'.
 */
export function bindStatement(
  sql: string,
  values: readonly unknown[],
  dialect: Dialect,
  style: PlaceholderStyle = dialect === 'postgres' ? 'numbered' : 'question',
): BoundStatement {
  const given = values.map((value) => toParameter(value, dialect))
  const parameters: Parameter[] = []
  let text = ''
  for (const { kind, text: part, number } of splitStatement(sql, dialect)) {
    if (kind === 'placeholder') {
      const value = given[number - 1]
      if (value === undefined)
        throw new ConfigurationError(
          `${part} has no value: the statement was given ${values.length} parameters.`,
        )
      parameters.push(value)
      text += style === 'numbered' ? part : formatPlaceholder(style, parameters.length)
    } else {
      if (style === 'question' && kind === 'code' && part.includes('?'))
        throw new ConfigurationError(
          'The statement has a ? outside of quotes. Write parameters as $1; for an operator with ?, call its function.',
        )
      if (style === 'marked' && part.includes(PLACEHOLDER_MARK))
        throw new ConfigurationError(
          'The statement has the character U+0001. Pass the text that has it as a parameter.',
        )
      text += part
    }
  }
  return { sql: text, parameters: style === 'numbered' ? given : parameters }
}

/** Wraps a binding's executor for code that knows neither the binding nor its placeholders. */
export function createPortableExecutor(
  executor: Executor,
  dialect: Dialect,
  style?: PlaceholderStyle,
): PortableExecutor {
  return {
    async run(sql, values = []) {
      const bound = bindStatement(sql, values, dialect, style)
      return executor.run(bound.sql, bound.parameters)
    },
  }
}
