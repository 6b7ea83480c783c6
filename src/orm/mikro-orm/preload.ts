import type { EntityManager, EntityMetadata } from '@mikro-orm/core'
import { forgetPreloaded } from '../preloaded.ts'
import { preload } from '../preload.ts'
import { definitionsOf } from '../with-attachments.ts'
import { refuseUnbound } from './save.ts'

/** Paths of attachments among those that are to be populated, which MikroORM does not know. */
interface SplitPopulate {
  readonly rest: readonly string[]
  /** Of the entities whose attachments are asked for. */
  readonly paths: readonly (readonly string[])[]
}

function splitPopulate(meta: EntityMetadata, populate: readonly unknown[]): SplitPopulate {
  const rest: string[] = []
  const paths: string[][] = []
  for (const path of populate as string[]) {
    const names = typeof path === 'string' ? path.split('.') : []
    const last = names.pop()
    const owner = names.reduce<EntityMetadata | undefined>(
      (at, name) => at?.properties[name as never]?.targetMeta,
      meta,
    )
    const attachments = typeof owner?.class === 'function' ? definitionsOf(owner.class) : null
    if (last === undefined || attachments === null || !Object.hasOwn(attachments, last))
      rest.push(path)
    else {
      paths.push(names)
      if (names.length > 0) rest.push(names.join('.'))
    }
  }
  return { rest: [...new Set(rest)], paths }
}

/** What is at a path, through references and collections. */
function* walkPath(
  entities: readonly unknown[],
  [name, ...path]: readonly string[],
): Iterable<object> {
  for (const entity of entities) {
    if (typeof entity !== 'object' || entity === null) continue
    if (name === undefined) yield entity
    else {
      const value = (entity as Record<string, unknown>)[name] as
        { isInitialized?(): boolean; getItems?(): unknown[]; unwrap?(): unknown } | null | undefined
      const isCollection = typeof value?.getItems === 'function'
      if (isCollection && value.isInitialized?.() === false) continue
      yield* walkPath(
        isCollection
          ? value.getItems!()
          : [typeof value?.unwrap === 'function' ? value.unwrap() : value],
        path,
      )
    }
  }
}

/** Finds give one, many, many and how many there are, or a page of them. */
function entitiesIn(result: unknown): object[] {
  const { items } = (result ?? {}) as { items?: readonly unknown[] }
  return (items ?? [result].flat(2)).filter((each) => typeof each === 'object' && each !== null)
}

type OptionsWithPopulate = { readonly populate?: unknown } | undefined

/** A find whose `populate` names attachments, also those of related entities: they are read in two statements for each. */
async function findWithPopulate(
  em: EntityManager,
  type: unknown,
  populate: unknown,
  find: (populate: unknown) => Promise<unknown>,
): Promise<unknown> {
  const meta = Array.isArray(populate) ? em.getMetadata().find(type as never) : undefined
  const { rest, paths } =
    meta === undefined
      ? { rest: populate, paths: [] }
      : splitPopulate(meta as EntityMetadata, populate as unknown[])
  const result = await find(paths.length === 0 ? populate : rest)
  if (paths.length === 0) return result
  const entities = paths.flatMap((path) => [...walkPath(entitiesIn(result), path)])
  for (const { constructor } of entities) refuseUnbound(em, constructor)
  const open = em.getContext()
  await preload(entities, open.isInTransaction() ? open : undefined)
  return result
}

type FindMethod = (this: EntityManager, ...given: unknown[]) => unknown

/** `populate: ['photo']` in finds, and `em.populate(users, ['photo'])`, of all managers. */
export function patchFinds(managers: EntityManager): void {
  const own = managers as unknown as Record<string, FindMethod>
  for (const [verb, place] of [
    ['find', 2],
    ['findOne', 2],
    ['findAndCount', 2],
    ['findByCursor', 1],
  ] as const) {
    const find = own[verb]!
    own[verb] = function (type, ...given) {
      const options = given[place - 1] as OptionsWithPopulate
      return findWithPopulate(this, type, options?.populate, async (populate) => {
        const result = await find.call(
          this,
          type,
          ...(populate === undefined ? given : given.with(place - 1, { ...options, populate })),
        )
        // An entity that was there already has what was read of it before.
        for (const entity of entitiesIn(result)) forgetPreloaded(entity)
        return result
      })
    }
  }
  const populate = own['populate']!
  own['populate'] = function (entities, paths, ...rest) {
    const [first] = [entities].flat() as object[]
    return first === undefined
      ? populate.call(this, entities, paths, ...rest)
      : findWithPopulate(
          this,
          first.constructor,
          paths,
          (given) => populate.call(this, entities, given, ...rest) as Promise<unknown>,
        )
  }
}
