// The page of all error codes, from the classes and their doc comments.
import { readFileSync } from 'node:fs'
import * as errors from '../src/errors/errors.ts'

const path = 'src/errors/errors.ts'

/** Markdown: one row per class, in the order of the source. */
export function errorCodesPage(): string {
  const source = readFileSync(path, 'utf8')
  const rows = [...source.matchAll(/\/\*\*([^/]*?)\*\/\nexport class (\w+)/g)].map(
    ([, comment = '', name = '']) => {
      const { code, statusCode, retryable } = exampleOf(name)
      const meaning = comment
        .replace(/^\s*\* ?/gm, '')
        .replaceAll(/\s+/g, ' ')
        .trim()
      const cells = [`\`${code}\``, `\`${name}\``, statusCode, retryable ? 'yes' : 'no', meaning]
      return `| ${cells.join(' | ')} |`
    },
  )
  return `# Error codes

Every error that the library throws on purpose is an \`ActiveStorageError\`: \`code\` names its kind, \`statusCode\` is what a web framework answers, \`retryable\` says whether the same call may succeed later. \`message\` is for the log; \`publicMessage\` is for visitors.

| code | class | HTTP status | retryable | meaning |
|---|---|---|---|---|
${rows.filter((row) => !row.includes('`ActiveStorageError`')).join('\n')}

## Only in responses

Responses of the handler have these codes too. No error of the library has them.

| code | HTTP status | meaning |
|---|---|---|
| \`FORBIDDEN\` | 403 | \`authorize\` returned \`false\` |
| \`ALREADY_UPLOADED\` | 409 | the path of a direct upload works once, and was used |
| \`INTERNAL\` | 500 | an error that is not the library's; the log has it under the reference |
`
}

function exampleOf(name: string): errors.ActiveStorageError {
  const classes: Readonly<Record<string, unknown>> = errors
  const Class = classes[name]
  // Two classes take a number of bytes after the message.
  const error: unknown = typeof Class === 'function' ? Reflect.construct(Class, ['', 0]) : undefined
  if (error instanceof errors.ActiveStorageError) return error
  throw new Error(`${path} does not export an error ${name}.`)
}
