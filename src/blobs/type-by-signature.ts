import { fileTypeFromBuffer } from 'file-type'
import { toCanonicalType } from './type-names.ts'

/** Signatures that Marcel knows and `file-type` does not. */
const signatures: readonly (readonly [offset: number, bytes: string, type: string])[] = [
  [4, 'Standard Jet DB', 'application/vnd.ms-access'],
  [4, 'Standard ACE DB', 'application/vnd.ms-access'],
  [0, '-----BEGIN PRIVATE KEY-----', 'application/pkcs8'],
  [0, '-----BEGIN CERTIFICATE-----', 'application/x-x509-ca-cert'],
  [0, 'JAVA PROFILE 1.0.', 'application/vnd.java.hprof'],
  [0, '.ra\xfd', 'audio/x-pn-realaudio'],
  [0, 'II\x1a\0\0\0HEAPCCDR', 'image/x-raw-canon'],
]

/**
 * Finds the type by the signature in a file's first bytes, as its canonical name. Markup has none.
 * null: unknown.
 */
export async function findTypeBySignature(head: Uint8Array): Promise<string | null> {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength)
  const known = signatures.find(([offset, text]) =>
    bytes.subarray(offset, offset + text.length).equals(Buffer.from(text, 'latin1')),
  )
  if (known !== undefined) return known[2]
  const found = (await fileTypeFromBuffer(head))?.mime
  if (found === undefined) return null
  const type = toCanonicalType(found)
  return findTypeInContainer(type, bytes) ?? type
}

/** Finds the type of a container's content, if the first bytes show it. */
function findTypeInContainer(type: string, bytes: Buffer): string | null {
  if (type === 'video/webm' || type === 'video/x-matroska')
    return hasOnlySound(/\x86[\x80-\xff]([AV])_/g, bytes, /^A$/)
      ? type.replace('video', 'audio')
      : null
  if (type === 'video/mp4')
    return hasOnlySound(/hdlr\0{8}(soun|vide)/g, readMoovBox(bytes), /^soun$/) ? 'audio/mp4' : null
  return type === 'application/x-ole-storage' ? findOfficeType(bytes) : null
}

function hasOnlySound(track: RegExp, bytes: Buffer, sound: RegExp): boolean {
  const kinds = [...bytes.toString('latin1').matchAll(track)].map(([, kind = '']) => kind)
  return kinds.length > 0 && kinds.every((kind) => sound.test(kind))
}

/**
 * Reads MP4's `moov` box, which lists the tracks. Returns no bytes when it is not complete here.
 */
function readMoovBox(bytes: Buffer): Buffer {
  for (let at = 0; at + 8 <= bytes.length;) {
    const size = bytes.readUInt32BE(at)
    if (size < 8) break
    if (bytes.toString('latin1', at + 4, at + 8) === 'moov')
      return at + size <= bytes.length ? bytes.subarray(at, at + size) : Buffer.alloc(0)
    at += size
  }
  return Buffer.alloc(0)
}

/**
 * Finds an Office type by the stream names in the first sector of an OLE2 file's directory.
 * Embedded documents are not listed there.
 */
function findOfficeType(bytes: Buffer): string | null {
  const shift = bytes.length < 512 ? 0 : bytes.readUInt16LE(30)
  if (shift !== 9 && shift !== 12) return null
  const at = (bytes.readUInt32LE(48) + 1) * 2 ** shift
  const sector = bytes.subarray(at, at + 2 ** shift)
  const names = new Set<string>()
  for (let entry = 0; entry + 128 <= sector.length; entry += 128)
    names.add(sector.toString('utf16le', entry, entry + 64).replace(/\0.*$/s, ''))
  if (names.has('WordDocument')) return 'application/msword'
  if (names.has('PowerPoint Document')) return 'application/vnd.ms-powerpoint'
  return names.has('Workbook') || names.has('Book') ? 'application/vnd.ms-excel' : null
}
