import { typeByName } from './type-by-name.ts'
import { typeBySignature } from './type-by-signature.ts'
import { markupIn } from './type-by-markup.ts'
import { isChildType, isToldByBytesAlone } from './type-children.ts'
import { bareType, canonicalType } from './type-names.ts'

const UNKNOWN = 'application/octet-stream'

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
  const hints = [typeByName(filename), declaredType(declared)].filter((type) => type !== null)
  const bySignature = await typeBySignature(head)
  if (bySignature !== null && bySignature !== 'application/xml')
    return mostSpecific(bySignature, hints) ?? bySignature
  const markup = markupIn(head)
  const hint = hints[0] ?? UNKNOWN
  if (markup === null)
    return bySignature ?? (head.length > 0 && isToldByBytesAlone(hint) ? UNKNOWN : hint)
  const { type, byRoot, isFinal } = markup
  // Other markup is what its name says, but no picture, sound, film or page.
  if (type === null)
    return /^(image|audio|video)\//.test(hint) || isToldByBytesAlone(hint) ? 'text/plain' : hint
  return isFinal ? type : (mostSpecific(type, hints) ?? byRoot ?? type)
}

/** The type of a file whose bytes are not here yet. null: neither its name nor what was declared tells. */
export function announcedType(filename: string, declared: string | undefined): string | null {
  const named = typeByName(filename)
  const told = declaredType(declared)
  return named !== null && told !== null && otherTrackType(named) === told ? told : (named ?? told)
}

/** Of a type of film that also holds sound alone, or the other way round: the other one. null: there is none. */
export function otherTrackType(type: string): string | null {
  const [, track, format] = /^(audio|video)\/(webm|mp4|ogg|3gpp2?|x-matroska)$/.exec(type) ?? []
  return track === undefined ? null : `${track === 'audio' ? 'video' : 'audio'}/${format}`
}

/** The first hint that agrees with the bytes. */
function mostSpecific(type: string, hints: readonly string[]): string | null {
  return hints.find((hint) => hint === type || isChildType(hint, type)) ?? null
}

function declaredType(declared: string | undefined): string | null {
  const type = bareType(declared)
  return type === null || type === UNKNOWN ? null : canonicalType(type)
}
