/**
 * Types that a browser would run as a page. Only a file's bytes make it one of these, never its
 * name.
 */
const pageTypes = new Set([
  'text/html',
  'application/xhtml+xml',
  'image/svg+xml',
  'application/mathml+xml',
  'application/vnd.wap.xhtml+xml',
  'application/vnd.mozilla.xul+xml',
])

/**
 * Types of files by the container that their signature shows: Marcel's parents. A type with a
 * suffix such as `+zip` names its container itself.
 */
const childTypes: Readonly<Record<string, RegExp>> = {
  'application/x-ole-storage':
    /^application\/(msword|sldworks|vnd\.(ms-excel|ms-outlook|ms-powerpoint|ms-project|ms-works|visio|stardivision\..+)|x-(corelpresentations|esri-layer|ms-installer|mspublisher|quattro-pro|staroffice-template|tika-msworks-spreadsheet))$/,
  'application/zip':
    /\+zip$|^application\/(vnd\.(oasis\.opendocument\.(?!flat\.).+|openxmlformats-officedocument\..+|openofficeorg\..+|ms-visio\..+|ms-(excel|powerpoint|word)\..+\.macroenabled\.12|apple\.(keynote|numbers|pages)|adobe\.indesign-idml-package|android\.package-archive|google-earth\.kmz|mindjet\.mindmanager|ms-xpsdocument)|bizagi-modeler|java-archive|oxps|x-(itunes-ipa|xmind|tika-java-.+))$|^model\/vnd\.dwfx\+xps$/,
  'application/java-archive': /^application\/(vnd\.android\.package-archive|x-tika-java-.+)$/,
  'application/epub+zip': /^application\/x-ibooks\+zip$/,
  'application/vnd.openxmlformats-officedocument.wordprocessingml.document':
    /^application\/(vnd\.openxmlformats-officedocument\.wordprocessingml\..+|vnd\.ms-word\..+\.macroenabled\.12)$/,
  'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet':
    /^application\/(vnd\.openxmlformats-officedocument\.spreadsheetml\..+|vnd\.ms-excel\..+\.macroenabled\.12)$/,
  'application/vnd.openxmlformats-officedocument.presentationml.presentation':
    /^application\/(vnd\.openxmlformats-officedocument\.presentationml\..+|vnd\.ms-powerpoint\..+\.macroenabled\.12)$/,
  'application/vnd.ms-word.document.macroenabled.12':
    /^application\/vnd\.ms-word\..+\.macroenabled\.12$/,
  'application/vnd.ms-excel.sheet.macroenabled.12':
    /^application\/vnd\.ms-excel\..+\.macroenabled\.12$/,
  'application/vnd.ms-powerpoint.presentation.macroenabled.12':
    /^application\/vnd\.ms-powerpoint\..+\.macroenabled\.12$/,
  'application/xml':
    /\+xml$|^application\/(vnd\.adobe\.xfdf|vnd\.oasis\.opendocument\.flat\..+|x-(adobe-indesign-interchange|amf|ms-asx|tmx))$|^image\/vnd\.adobe\.premiere$/,
  'application/gzip': /^(application\/(x-ms-wmz|x-gnucash|warc\+gz)|image\/x-emf-compressed)$/,
  'application/pdf': /^application\/illustrator$/,
  'application/ogg': /^(audio\/(ogg|speex)|video\/(ogg|x-dirac|x-ogm))$/,
  'audio/ogg': /^audio\/speex$/,
  'video/ogg': /^video\/x-(dirac|ogm)$/,
  'video/quicktime': /^(video\/(mp4|iso\.segment)|audio\/mp4)$/,
  'video/mp4': /^(audio\/mp4|video\/iso\.segment)$/,
  'video/3gpp': /^audio\/3gpp$/,
  'video/3gpp2': /^audio\/3gpp2$/,
  'video/x-ms-asf': /^(audio\/x-ms-wma|video\/x-ms-wmv)$/,
  'image/tiff': /^image\/x-(raw-.+|canon-cr2)$/,
  'application/x-msdownload': /^application\/x-dosexec$/,
}

/**
 * Returns true for a type that a name alone cannot give a file. HTML is none: a short piece of it
 * looks like plain text.
 */
export const isKnownByBytesOnly = (type: string): boolean =>
  pageTypes.has(type) && type !== 'text/html'

/**
 * Returns true when files of type `child` have the signature of `parent`. Both are canonical names.
 */
export function isChildType(child: string, parent: string): boolean {
  return child !== parent && !pageTypes.has(child) && childTypes[parent]?.test(child) === true
}
