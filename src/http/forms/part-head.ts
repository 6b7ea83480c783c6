import { InvalidInputError } from '../../errors/errors.ts'
import { decodeText, decodePercent } from './charsets.ts'
import { parseHeaderParameters } from './header-parameters.ts'
import { unreadableForm } from './unreadable-form.ts'

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

const headerPattern = (name: string): RegExp =>
  new RegExp(String.raw`\r\n${name}[ \t]*:[ \t]*((?:[^\r\n]|\r\n[ \t])*)`, 'i')
const DISPOSITION = headerPattern('Content-Disposition')
const CONTENT_TYPE = headerPattern('Content-Type')
const TRANSFER_ENCODING = headerPattern('Content-Transfer-Encoding')

/** Reads a head, each of whose lines begins after CRLF, with a character for each byte. Lines that say nothing are skipped. */
export function parsePartHead(head: string): PartHead {
  // Its line would end there for some, and go on for others.
  if (/\r(?!\n)|(?<!\r)\n/.test(head))
    throw unreadableForm('A part of the form has a line break within a header.')
  const valueOf = (pattern: RegExp): string | undefined =>
    pattern.exec(head)?.[1]?.replaceAll(/\r\n([ \t])/g, '$1')
  const given = valueOf(DISPOSITION)
  if (given === undefined)
    throw unreadableForm(
      'A part of the form has no Content-Disposition: nothing tells what it is called.',
    )
  const parameters = parseHeaderParameters(Buffer.from(given, 'latin1').toString())
  const name = parameters.get('name') ?? ''
  if (name === '' && !NAMELESS.test(given)) throw namelessPart(parameters.get('filename'))
  const contentType = valueOf(CONTENT_TYPE) ?? ''
  const bareType = /^\s*([^\s;,/]+\/[^\s;,/]+)/.exec(contentType)?.[1]?.toLowerCase()
  const filename = findFilename(parameters, bareType)
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
    charset: parseHeaderParameters(contentType).get('charset'),
    transferEncoding: valueOf(TRANSFER_ENCODING)?.trim().toLowerCase() ?? '',
  }
}

function namelessPart(filename: string | undefined): InvalidInputError {
  return new InvalidInputError('A part of the form has no name: its input needs one.', {
    details: filename === undefined ? {} : { filename },
    publicMessage: 'The form could not be read: something in it has no name.',
  })
}

function findFilename(
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
