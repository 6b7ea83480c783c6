import type { Dialect } from './database.ts'

/** A part of a statement. `number` is that of a placeholder: 1 for `$1`, 0 for other parts. */
export interface StatementPart {
  /** 'code' is what the database executes; 'quoted' is text, a quoted name or a comment. */
  readonly kind: 'code' | 'quoted' | 'placeholder'
  readonly text: string
  readonly number: number
}

const LETTER = String.raw`A-Za-z_\u0080-\uffff`
/** Matches a name or a number, which may hold a `$`: `total$1` is one name. */
const WORD = `[0-9${LETTER}][0-9$${LETTER}]*`

/** Matches text to the closing quote, or to the end. A doubled quote is a quote. */
const matchQuoted = (open: string, close: string = open): string =>
  `${open}(?:[^${close}]+|${close}${close})*(?:${close}|$)`
/** Matches text to the closing quote, or to the end. A backslash escapes the next character. */
const matchEscaped = (quote: string): string =>
  String.raw`${quote}(?:[^${quote}\\]+|\\[^]|${quote}${quote})*(?:${quote}|$)`

const DASH_COMMENT = String.raw`--[^\n\r]*`
const BLOCK_COMMENT = String.raw`\/\*[^]*?(?:\*\/|$)`

/**
 * Patterns of PostgreSQL. An E'' string may continue after a line break. Block comments are nested:
 * see `endOfComment`.
 */
const POSTGRES_QUOTED = [
  String.raw`[eE]${matchEscaped("'")}(?:[ \t]*[\n\r]\s*${matchEscaped("'")})*`,
  matchQuoted("'"),
  matchQuoted('"'),
  String.raw`\$(?<tag>[${LETTER}][0-9${LETTER}]*)?\$[^]*?(?:\$\k<tag>\$|$)`,
  DASH_COMMENT,
  String.raw`\/\*`,
]
/** Patterns of MySQL, which executes the text of a comment that begins with an exclamation mark. */
const MYSQL_QUOTED = [
  matchEscaped("'"),
  matchEscaped('"'),
  matchQuoted('`'),
  String.raw`#[^\n\r]*`,
  String.raw`--(?=\s|$)[^\n\r]*`,
  String.raw`(?!\/\*M?!)${BLOCK_COMMENT}`,
]
const SQLITE_QUOTED = [
  matchQuoted("'"),
  matchQuoted('"'),
  matchQuoted('`'),
  String.raw`\[[^\]]*(?:\]|$)`,
  DASH_COMMENT,
  BLOCK_COMMENT,
]

const createPattern = (quotedForms: readonly string[]): RegExp =>
  new RegExp(String.raw`(?<quoted>${quotedForms.join('|')})|(?<word>${WORD})|\$(?<number>\d+)`, 'g')

const mysqlPattern = createPattern(MYSQL_QUOTED)
const patterns: Readonly<Record<Dialect, RegExp>> = {
  postgres: createPattern(POSTGRES_QUOTED),
  mysql: mysqlPattern,
  mariadb: mysqlPattern,
  sqlite: createPattern(SQLITE_QUOTED),
}

/**
 * Splits a statement into code, quoted parts and `$n` placeholders. Joined, their texts are the
 * statement.
 */
export function splitStatement(sql: string, dialect: Dialect): StatementPart[] {
  const parts: StatementPart[] = []
  const pattern = new RegExp(patterns[dialect])
  let codeFrom = 0
  const addCode = (to: number): void => {
    if (to > codeFrom) parts.push({ kind: 'code', text: sql.slice(codeFrom, to), number: 0 })
  }
  for (let match = pattern.exec(sql); match !== null; match = pattern.exec(sql)) {
    const { quoted: found, number } = match.groups ?? {}
    if (found === undefined && number === undefined) continue
    const end =
      found === '/*' && dialect === 'postgres'
        ? endOfComment(sql, match.index)
        : match.index + match[0].length
    addCode(match.index)
    parts.push({
      kind: number === undefined ? 'quoted' : 'placeholder',
      text: sql.slice(match.index, end),
      number: Number(number ?? 0),
    })
    codeFrom = end
    pattern.lastIndex = end
  }
  addCode(sql.length)
  return parts
}

/**
 * Finds the end of a nested block comment that begins at `start`; the end of the text if it is not
 * closed.
 */
function endOfComment(sql: string, start: number): number {
  const marks = /\/\*|\*\//g
  marks.lastIndex = start
  let depth = 0
  for (let match = marks.exec(sql); match !== null; match = marks.exec(sql)) {
    depth += match[0] === '/*' ? 1 : -1
    if (depth === 0) return marks.lastIndex
  }
  return sql.length
}
