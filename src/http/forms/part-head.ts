import { InvalidInputError } from '../../errors/errors.ts'
import { decodeText, decodePercent } from './charsets.ts'
import { parseHeaderParameters } from './header-parameters.ts'
import { unreadableForm } from './unreadable-form.ts'

/** Headers of a part of a form. */
export interface PartHead {
  /** '': a field without a name, which only scripts of the page use. */
  readonly name: string
  /** Filename as the client sent it, with folders. undefined: the part is a field. */
  readonly filename: string | undefined
  /** Media type without parameters, in lower case. Default text/plain (RFC 7578, 4.4). */
  readonly contentType: string
  readonly charset: string | undefined
  /** In lower case; '' when the header is missing. */
  readonly transferEncoding: string
}

/** Content-Disposition of a field without a name, as browsers send it. */
const NAMELESS = /^form-data; name=""$/

const headerPattern = (name: string): RegExp =>
  new RegExp(String.raw`\r\n${name}[ \t]*:[ \t]*((?:[^\r\n]|\r\n[ \t])*)`, 'i')
const DISPOSITION = headerPattern('Content-Disposition')
const CONTENT_TYPE = headerPattern('Content-Type')
const TRANSFER_ENCODING = headerPattern('Content-Transfer-Encoding')

/**
 * Parses the head of a part, whose lines each follow CRLF, with one character for each byte.
 * Unknown lines are skipped. Throws InvalidInputError.
 */
export function parsePartHead(head: string): PartHead {
  // Parsers disagree whether a lone CR or LF ends a header.
  if (/\r(?!\n)|(?<!\r)\n/.test(head))
    throw unreadableForm('A part of the form has a line break within a header.')
  const valueOf = (pattern: RegExp): string | undefined =>
    pattern.exec(head)?.[1]?.replaceAll(/\r\n([ \t])/g, '$1')
  const given = valueOf(DISPOSITION)
  if (given === undefined)
    throw unreadableForm(
      'A part of the form has no Content-Disposition, so that its name is unknown.',
    )
  const parameters = parseHeaderParameters(Buffer.from(given, 'latin1').toString())
  const name = parameters.get('name') ?? ''
  if (name === '' && !NAMELESS.test(given)) throw namelessPart(parameters.get('filename'))
  const contentType = valueOf(CONTENT_TYPE) ?? ''
  const bareType = /^\s*([^\s;,/]+\/[^\s;,/]+)/.exec(contentType)?.[1]?.toLowerCase()
  const filename = findFilename(parameters, bareType)
  // The part is refused, because the file would be lost or taken for a text field. Some clients
  // split a long name: `filename*0`, `filename*1`.
  if (filename === undefined && /filename[*\d]*\s*=/i.test(given))
    throw new InvalidInputError(
      `A part of the form has a filename that cannot be read: ${JSON.stringify(given.slice(0, 100))}.`,
      {
        publicMessage:
          'The form could not be read: the name of a file is invalid. Rename the file and send the form again.',
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
    publicMessage: 'The form could not be read: one of its fields has no name.',
  })
}

function findFilename(
  parameters: ReadonlyMap<string, string>,
  contentType: string | undefined,
): string | undefined {
  const plain = parameters.get('filename')
  const extended = parameters.get('filename*')
  // A client without a filename still sends a file when its type is application/octet-stream.
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
