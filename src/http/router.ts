/** The named parts of a path, decoded. */
export type Params = Readonly<Record<string, string>>

export interface Route<C> {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  /** Segments below the mount point: a text, `:name`, or `*` for one or more. */
  readonly path: string
  handle(context: C, request: Request, params: Params): Promise<Response>
}

/** The parameters of a path; null: it is not the route's. A filename may be any number of segments, as in Rails, and is ignored. */
export function matchPath(path: string, segments: readonly string[]): Params | null {
  const pattern = path.split('/')
  const hasRest = pattern.at(-1) === '*'
  if (hasRest ? segments.length < pattern.length : segments.length !== pattern.length) return null
  const params: Record<string, string> = {}
  for (const [index, part] of pattern.entries()) {
    const given = segments[index] ?? ''
    if (part === '*') return segments.slice(index).some((each) => each !== '') ? params : null
    if (!part.startsWith(':')) {
      if (part !== given) return null
    } else if (given === '') return null
    else params[part.slice(1)] = given
  }
  return params
}

/** Decoded segments below `base`; null: the path is elsewhere, or is no valid one. */
export function segmentsBelow(base: string, url: string): string[] | null {
  const { pathname } = new URL(url)
  if (!pathname.startsWith(`${base}/`)) return null
  try {
    return pathname
      .slice(base.length + 1)
      .split('/')
      .map(decodeURIComponent)
  } catch {
    return null
  }
}
