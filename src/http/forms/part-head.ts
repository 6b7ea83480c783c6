import { InvalidInputError } from '../../errors.ts'
import { decodeText, decodePercent } from './charsets.ts'
import { headerParameters } from './header-parameters.ts'
import { unreadable } from './unreadable.ts'

/** What a part of a form says of itself. */
export interface PartHead {
  /** '': a field without a name, which is for the page alone. */
  readonly name: string
  /** As it was sent, folders included. undefined: the part is a field. */
  readonly filename: string | undefined
  /** Without its parameters, in lower case. Default text/plain (RFC 7578, 4.4). */
  readonly contentType: string
  readonly charset: string | undefined
  /** In lower case; '' where there is none. */
  readonly transferEncoding: string
}

/** A field without a name, as browsers send it. */
const NAMELESS = /^form-data; name=""$/

const header = (name: string): RegExp =>
  new RegExp(String.raw`\r\n${name}[ \t]*:[ \t]*((?:[^\r\n]|\r\n[ \t])*)`, 'i')
const disposition = header('Content-Disposition')
const type = header('Content-Type')
const encoding = header('Content-Transfer-Encoding')

/** Reads a head, each of whose lines begins after CRLF, with a character for each byte. Lines that say nothing are skipped. */
export function readHead(head: string): PartHead {
  // Its line would end there for some, and go on for others.
  if (/\r(?!\n)|(?<!\r)\n/.test(head))
    throw unreadable('A part of the form has a line break within a header.')
  const valueOf = (pattern: RegExp): string | undefined =>
    pattern.exec(head)?.[1]?.replaceAll(/\r\n([ \t])/g, '$1')
  const given = valueOf(disposition)
  if (given === undefined)
    throw unreadable(
      'A part of the form has no Content-Disposition: nothing tells what it is called.',
    )
  const parameters = headerParameters(Buffer.from(given, 'latin1').toString())
  const name = parameters.get('name') ?? ''
  if (name === '' && !NAMELESS.test(given)) throw nameless(parameters.get('filename'))
  const contentType = valueOf(type) ?? ''
  const bareType = /^\s*([^\s;,/]+\/[^\s;,/]+)/.exec(contentType)?.[1]?.toLowerCase()
  const filename = filenameIn(parameters, bareType)
  // Read as a field, the file would be lost, or its bytes be taken for a text.
  // Some number the pieces of a long one: `filename*0`, `filename*1`.
  if (filename === undefined && /filename[*\d]*\s*=/i.test(given))
    throw new InvalidInputError(
      `A part of the form has a filename that cannot be read: ${JSON.stringify(given.slice(0, 100))}.`,
      {
        publicMessage:
          'The form could not be read: the name of a file is not valid. Rename the file and send the form again.',
      },
    )
  return {
    name,
    filename,
    contentType: bareType ?? 'text/plain',
    charset: headerParameters(contentType).get('charset'),
    transferEncoding: valueOf(encoding)?.trim().toLowerCase() ?? '',
  }
}

function nameless(filename: string | undefined): InvalidInputError {
  return new InvalidInputError('A part of the form has no name: its input needs one.', {
    details: filename === undefined ? {} : { filename },
    publicMessage: 'The form could not be read: something in it has no name.',
  })
}

function filenameIn(
  parameters: ReadonlyMap<string, string>,
  contentType: string | undefined,
): string | undefined {
  const plain = parameters.get('filename')
  const extended = parameters.get('filename*')
  // Bytes without a name are a file too, of a client that has none to give.
  if (extended === undefined)
    return plain ?? (contentType === 'application/octet-stream' ? '' : undefined)
  const [, charset = '', encoded = ''] = /^([^']*)'[^']*'(.*)$/s.exec(extended) ?? []
  try {
    if (charset !== '') return decodeText(decodePercent(encoded), charset, 'The name of a file')
  } catch (error) {
    if (plain === undefined) throw error
  }
  return plain ?? extended
}
