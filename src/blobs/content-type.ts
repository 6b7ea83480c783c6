import { detectMarkup } from './type-by-markup.ts'
import { findTypeByName } from './type-by-name.ts'
import { findTypeBySignature } from './type-by-signature.ts'
import { isChildType, isKnownByBytesOnly } from './type-children.ts'
import { parseMediaType, toCanonicalType } from './type-names.ts'

const UNKNOWN_TYPE = 'application/octet-stream'

/**
 * Identifies a file's content type: by its first bytes, else by its name, else as declared. Returns
 * Marcel's spelling, without parameters. Where the bytes show only a container (zip, OLE2, XML …),
 * the name says which file it is. HTML, SVG and XML that can run something are recognized by their
 * bytes, whatever the name, because they are unsafe to show.
 */
export async function identifyContentType(
  head: Uint8Array,
  filename: string,
  declared?: string,
): Promise<string> {
  const candidates = [findTypeByName(filename), parseDeclaredType(declared)].filter(
    (type) => type !== null,
  )
  const bySignature = await findTypeBySignature(head)
  if (bySignature !== null && bySignature !== 'application/xml')
    return findMostSpecific(bySignature, candidates) ?? bySignature
  const markup = detectMarkup(head)
  const candidate = candidates[0] ?? UNKNOWN_TYPE
  if (markup === null)
    return (
      bySignature ?? (head.length > 0 && isKnownByBytesOnly(candidate) ? UNKNOWN_TYPE : candidate)
    )
  const { type, byRoot, isFinal } = markup
  // The name decides for other markup, except that markup is no picture, sound, film or page.
  if (type === null)
    return /^(image|audio|video)\//.test(candidate) || isKnownByBytesOnly(candidate)
      ? 'text/plain'
      : candidate
  return isFinal ? type : (findMostSpecific(type, candidates) ?? byRoot ?? type)
}

/**
 * Guesses the type of a file whose bytes are not here yet. null: neither its name nor its declared
 * type says it.
 */
export function guessContentType(filename: string, declared: string | undefined): string | null {
  const byName = findTypeByName(filename)
  const byClient = parseDeclaredType(declared)
  return byName !== null && byClient !== null && swapTrackType(byName) === byClient
    ? byClient
    : (byName ?? byClient)
}

/**
 * Swaps video and audio in the type of a format that may hold either: 'video/mp4' and 'audio/mp4'.
 * null for others.
 */
export function swapTrackType(type: string): string | null {
  const [, track, format] = /^(audio|video)\/(webm|mp4|ogg|3gpp2?|x-matroska)$/.exec(type) ?? []
  return track === undefined ? null : `${track === 'audio' ? 'video' : 'audio'}/${format}`
}

/** Finds the first candidate that agrees with the bytes. */
function findMostSpecific(type: string, candidates: readonly string[]): string | null {
  return candidates.find((candidate) => candidate === type || isChildType(candidate, type)) ?? null
}

function parseDeclaredType(declared: string | undefined): string | null {
  const type = parseMediaType(declared)
  return type === null || type === UNKNOWN_TYPE ? null : toCanonicalType(type)
}
