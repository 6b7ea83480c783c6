import { findTypeByName } from './type-by-name.ts'
import { findTypeBySignature } from './type-by-signature.ts'
import { detectMarkup } from './type-by-markup.ts'
import { isChildType, isKnownByBytesOnly } from './type-children.ts'
import { parseMediaType, toCanonicalType } from './type-names.ts'

const UNKNOWN_TYPE = 'application/octet-stream'

/**
 * The type of a file by its bytes, else by its name, else as declared; in Marcel's spelling, without parameters. Where the
 * bytes only tell a container (zip, OLE2, XML …), the name tells which of its kinds. HTML, SVG and XML in which something
 * can run are told by their bytes, whatever they are called: they are unsafe to show.
 */
export async function identifyContentType(
  head: Uint8Array,
  filename: string,
  declared?: string,
): Promise<string> {
  const hints = [findTypeByName(filename), parseDeclaredType(declared)].filter(
    (type) => type !== null,
  )
  const bySignature = await findTypeBySignature(head)
  if (bySignature !== null && bySignature !== 'application/xml')
    return findMostSpecific(bySignature, hints) ?? bySignature
  const markup = detectMarkup(head)
  const hint = hints[0] ?? UNKNOWN_TYPE
  if (markup === null)
    return bySignature ?? (head.length > 0 && isKnownByBytesOnly(hint) ? UNKNOWN_TYPE : hint)
  const { type, byRoot, isFinal } = markup
  // Other markup is what its name says, but no picture, sound, film or page.
  if (type === null)
    return /^(image|audio|video)\//.test(hint) || isKnownByBytesOnly(hint) ? 'text/plain' : hint
  return isFinal ? type : (findMostSpecific(type, hints) ?? byRoot ?? type)
}

/** The type of a file whose bytes are not here yet. null: neither its name nor what was declared tells. */
export function guessContentType(filename: string, declared: string | undefined): string | null {
  const named = findTypeByName(filename)
  const told = parseDeclaredType(declared)
  return named !== null && told !== null && swapTrackType(named) === told ? told : (named ?? told)
}

/** Of a type of film that also holds sound alone, or the other way round: the other one. null: there is none. */
export function swapTrackType(type: string): string | null {
  const [, track, format] = /^(audio|video)\/(webm|mp4|ogg|3gpp2?|x-matroska)$/.exec(type) ?? []
  return track === undefined ? null : `${track === 'audio' ? 'video' : 'audio'}/${format}`
}

/** The first hint that agrees with the bytes. */
function findMostSpecific(type: string, hints: readonly string[]): string | null {
  return hints.find((hint) => hint === type || isChildType(hint, type)) ?? null
}

function parseDeclaredType(declared: string | undefined): string | null {
  const type = parseMediaType(declared)
  return type === null || type === UNKNOWN_TYPE ? null : toCanonicalType(type)
}
