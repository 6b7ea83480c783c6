import type { EntityManager, EntityMetadata } from '@mikro-orm/core'
import { preload } from '../preload.ts'
import { attachmentsOf } from '../with-attachments.ts'

/** Paths of attachments among those that are to be populated, which MikroORM does not know. */
interface Taken {
  readonly rest: readonly string[]
  /** Of the entities whose attachments are asked for. */
  readonly paths: readonly (readonly string[])[]
}

function take(meta: EntityMetadata, populate: readonly unknown[]): Taken {
  const rest: string[] = []
  const paths: string[][] = []
  for (const path of populate as string[]) {
    const names = typeof path === 'string' ? path.split('.') : []
    const last = names.pop()
    const owner = names.reduce<EntityMetadata | undefined>((at, name) => at?.properties[name as never]?.targetMeta, meta)
    const attachments = typeof owner?.class === 'function' ? attachmentsOf(owner.class) : null
    if (last === undefined || attachments === null || !Object.hasOwn(attachments, last)) rest.push(path)
    else {
      paths.push(names)
      if (names.length > 0) rest.push(names.join('.'))
    }
  }
  return { rest: [...new Set(rest)], paths }
}

/** What is at a path, through references and collections. */
function* at(entities: readonly unknown[], [name, ...path]: readonly string[]): Iterable<object> {
  for (const entity of entities) {
    if (typeof entity !== 'object' || entity === null) continue
    if (name === undefined) yield entity
    else {
      const value = (entity as Record<string, unknown>)[name] as
        { isInitialized?(): boolean; getItems?(): unknown[]; unwrap?(): unknown } | null | undefined
      const isCollection = typeof value?.getItems === 'function'
      if (isCollection && value.isInitialized?.() === false) continue
      yield* at(isCollection ? value.getItems!() : [typeof value?.unwrap === 'function' ? value.unwrap() : value], path)
    }
  }
}

type Options = { readonly populate?: unknown } | undefined

/** A find whose `populate` names attachments, also those of related entities: they are read in two statements for each. */
async function withPopulated(
  em: EntityManager,
  type: unknown,
  populate: unknown,
  find: (populate: unknown) => Promise<unknown>,
): Promise<unknown> {
  if (!Array.isArray(populate)) return find(populate)
  const meta = em.getMetadata().find(type as never)
  const { rest, paths } = meta === undefined ? { rest: populate, paths: [] } : take(meta as EntityMetadata, populate)
  if (paths.length === 0) return find(populate)
  const result = await find(rest)
  const { items } = (result ?? {}) as { items?: readonly unknown[] }
  const found = items ?? [result].flat(2)
  const entities = paths.flatMap((path) => [...at(found, path)])
  const open = em.getContext()
  await preload(entities, open.isInTransaction() ? open : undefined)
  return result
}

type Call = (...given: unknown[]) => unknown

/** `populate: ['photo']` in finds, and `em.populate(users, ['photo'])`. */
export function populating(em: EntityManager): void {
  const own = em as unknown as Record<string, Call>
  for (const [verb, place] of [
    ['find', 2],
    ['findOne', 2],
    ['findAndCount', 2],
    ['findByCursor', 1],
  ] as const) {
    const find = own[verb]!.bind(em)
    own[verb] = (type, ...given) => {
      const options = given[place - 1] as Options
      const call = (populate: unknown): Promise<unknown> =>
        find(type, ...given.slice(0, place - 1), options === undefined ? options : { ...options, populate }) as Promise<unknown>
      return options?.populate === undefined ? find(type, ...given) : withPopulated(em, type, options.populate, call)
    }
  }
  const populate = own['populate']!.bind(em)
  own['populate'] = (entities, paths, ...rest) => {
    const [first] = [entities].flat() as object[]
    return first === undefined
      ? populate(entities, paths, ...rest)
      : withPopulated(em, first.constructor, paths, (given) => populate(entities, given, ...rest) as Promise<unknown>)
  }
}
