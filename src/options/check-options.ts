import { ConfigurationError } from '../errors/errors.ts'
import { formatList } from '../errors/message.ts'

/**
 * Throws ConfigurationError on unknown options: a typo would otherwise be ignored. `where` begins
 * the message.
 */
export function checkOptions(given: unknown, known: readonly string[], where: string): void {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new ConfigurationError(`${where}: give an object with ${formatList(known)}.`)
  for (const name of Object.keys(given))
    if (!known.includes(name))
      throw new ConfigurationError(
        `${where}: unknown option '${name.slice(0, 50)}'. ${suggest(name, known)}`,
      )
}

/** Names the known option that a mistyped one is near to, else all options that fit. */
function suggest(name: string, known: readonly string[]): string {
  const given = name.toLowerCase()
  const [nearest] = known
    .map((option) => ({ option, distance: distanceOf(given, option.toLowerCase()) }))
    .filter(({ distance }) => distance <= Math.max(2, given.length / 3))
    .toSorted((a, b) => a.distance - b.distance)
  const option =
    nearest?.option ?? known.find((each) => each.toLowerCase().startsWith(given.slice(0, 50)))
  return option === undefined ? `The options are ${formatList(known)}.` : `Did you mean ${option}?`
}

/** Returns how many characters must be added, removed or replaced to make `b` of `a`. */
function distanceOf(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, character] of Array.from(a.slice(0, 50)).entries()) {
    const next = [i + 1]
    for (let j = 1; j <= b.length; j += 1)
      next.push(
        Math.min(
          (row[j] ?? 0) + 1,
          (next[j - 1] ?? 0) + 1,
          (row[j - 1] ?? 0) + (character === b[j - 1] ? 0 : 1),
        ),
      )
    row = next
  }
  return row.at(-1) ?? 0
}
