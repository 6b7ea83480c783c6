import { notFound, respond } from './responses.ts'

/** Named parts of a path, decoded. */
export type Params = Readonly<Record<string, string>>

/** HTTP methods that a route can answer. */
export type RouteMethod = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS'

/** One method on one path, and the function that answers it. */
export interface Route<C> {
  readonly method: RouteMethod
  /** Segments below the mount point: a text, `:name`, or `*` for one or more. */
  readonly path: string
  handle(context: C, request: Request, params: Params): Promise<Response>
}

/**
 * Answers a request by the first route that has its method and path. Routes need not answer HEAD
 * and OPTIONS: HEAD is GET without the body, OPTIONS is 204 with `Allow`. A known path responds 405
 * with `Allow` to any other method. Throws the response 404 for an unknown path.
 */
export async function routeRequest<C>(
  context: C,
  routes: readonly Route<C>[],
  basePath: string,
  request: Request,
): Promise<Response> {
  const matches = matchRoutes(routes, segmentsBelow(basePath, request.url))
  if (matches.length === 0) throw notFound()
  const isHead = request.method === 'HEAD'
  const match =
    matches.find(({ route }) => route.method === request.method) ??
    (isHead ? matches.find(({ route }) => route.method === 'GET') : undefined)
  if (match !== undefined) {
    const response = await match.route.handle(context, request, match.params)
    return isHead ? dropBody(response) : response
  }
  return respond(request.method === 'OPTIONS' ? 204 : 405, {
    Allow: listAllowed(matches.map(({ route }) => route.method)).join(', '),
    'Cache-Control': 'no-store',
  })
}

interface Match<C> {
  readonly route: Route<C>
  readonly params: Params
}

function matchRoutes<C>(
  routes: readonly Route<C>[],
  segments: readonly string[] | null,
): Match<C>[] {
  if (segments === null) return []
  return routes.flatMap((route) => {
    const params = matchPath(route.path, segments)
    return params === null ? [] : [{ route, params }]
  })
}

/** Adds the methods that the router answers by itself. */
function listAllowed(methods: readonly RouteMethod[]): RouteMethod[] {
  const all = methods.flatMap((method): RouteMethod[] =>
    method === 'GET' ? ['GET', 'HEAD'] : [method],
  )
  return [...new Set([...all, 'OPTIONS' as const])]
}

async function dropBody(response: Response): Promise<Response> {
  if (response.body === null) return response
  await response.body.cancel()
  return new Response(null, response)
}

/**
 * Returns the parameters of a path. null: the path is another. `*` stands for a filename, which may
 * have several segments, as in Rails, and is ignored.
 */
export function matchPath(path: string, segments: readonly string[]): Params | null {
  const pattern = path.split('/')
  const hasRest = pattern.at(-1) === '*'
  if (hasRest ? segments.length < pattern.length : segments.length !== pattern.length) return null
  const params: Record<string, string> = {}
  for (const [index, part] of pattern.entries()) {
    const segment = segments[index] ?? ''
    if (part === '*') return segments.slice(index).some((rest) => rest !== '') ? params : null
    if (!part.startsWith(':')) {
      if (part !== segment) return null
    } else if (segment === '') return null
    else params[part.slice(1)] = segment
  }
  return params
}

/**
 * Returns the decoded segments below `base`. null: the path is not below it, or has an invalid
 * percent escape.
 */
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
