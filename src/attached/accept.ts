import { readWordTable } from '../blobs/word-table.ts'

/** Known misspellings of content types, after the type that is meant. */
const MISSPELT_TYPES: ReadonlyMap<string, string> = readWordTable(`
image/jpeg image/jpg image/jpe image/jfif; image/tiff image/tif; image/svg+xml image/svg image/svg-xml; image/heic image/heics;
image/vnd.microsoft.icon image/ico; image/vnd.adobe.photoshop image/psd; application/pdf text/pdf image/pdf document/pdf;
text/plain text/txt text/text application/txt application/text; text/markdown text/md application/md; text/html text/htm application/html;
text/javascript text/js application/js; text/css application/css; application/json application/jsonp; application/yaml application/yml text/yml;
application/msword application/doc text/doc application/word;
application/vnd.openxmlformats-officedocument.wordprocessingml.document application/docx;
application/vnd.ms-excel application/xls text/xls application/msexel;
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet application/xlsx;
application/vnd.ms-powerpoint application/ppt;
application/vnd.openxmlformats-officedocument.presentationml.presentation application/pptx;
application/vnd.oasis.opendocument.text application/odt; application/vnd.oasis.opendocument.spreadsheet application/ods;
application/epub+zip application/epub; application/gzip application/gz; application/rtf application/richtext;
audio/mpeg audio/mpg; audio/ogg audio/oga; video/quicktime video/mov video/qt; video/x-matroska video/mkv;
video/mpeg video/mpg; video/x-ms-wmv video/wmv; video/3gpp video/3gp; audio/x-ms-wma audio/wma; video/x-flv video/flv
`)
const MISSPELT_KINDS: Readonly<Record<string, string>> = {
  images: 'image',
  img: 'image',
  picture: 'image',
  photo: 'image',
  videos: 'video',
  movie: 'video',
  audios: 'audio',
  sound: 'audio',
  texts: 'text',
  app: 'application',
}

/**
 * Finds a mistake in `accept` and describes its correction. null: no mistake. Unknown types are
 * accepted.
 */
export function findAcceptError(accept: unknown): string | null {
  if (!Array.isArray(accept))
    return "accept must be a list of content types such as 'image/png' or 'image/*'."
  if (accept.length === 0)
    return 'accept is an empty list, which accepts no file. Leave it out to accept all.'
  for (const given of accept) {
    const wrong = findTypeError(given)
    if (wrong !== null) return wrong
  }
  return null
}

function findTypeError(given: unknown): string | null {
  const type = String(given).toLowerCase()
  const [, kind = '', format = ''] = /^([\w.+-]+|\*)\/([\w.+-]+|\*)$/.exec(type) ?? []
  if (format === '' || (kind === '*' && format !== '*'))
    return `accept has ${JSON.stringify(given)}; it must be a list of content types such as 'image/png' or 'image/*', without parameters.`
  const right =
    MISSPELT_TYPES.get(type) ??
    (MISSPELT_KINDS[kind] === undefined ? null : `${MISSPELT_KINDS[kind]}/${format}`)
  return right === null
    ? null
    : `accept has '${String(given)}', which is no content type. Write '${right}'.`
}
