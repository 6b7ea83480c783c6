import type { EntityManager, EntityMetadata, EntityName } from '@mikro-orm/core'
import { hasMethod, isConstructor, isObject, toList } from '../object-guards.ts'
import { patchMethod } from '../patch-method.ts'
import { preload } from '../preload.ts'
import { forgetPreloaded } from '../preloaded.ts'
import { definitionsOf } from '../with-attachments.ts'
import { refuseUnbound } from './bind.ts'

interface SplitPopulate {
  /** The paths without the attachments at their ends, which MikroORM does not know. */
  readonly rest: readonly unknown[]
  /** Paths to the entities whose attachments are named. */
  readonly paths: readonly (readonly string[])[]
}

function splitPopulate(meta: EntityMetadata, populate: readonly unknown[]): SplitPopulate {
  const rest = new Set<unknown>()
  const paths: string[][] = []
  for (const path of populate) {
    const names = typeof path === 'string' ? path.split('.') : []
    const last = names.pop()
    const owner = names.reduce<EntityMetadata | undefined>(
      (at, name) => at?.properties[name]?.targetMeta,
      meta,
    )
    const attachments = typeof owner?.class === 'function' ? definitionsOf(owner.class) : null
    if (last === undefined || attachments === null || !Object.hasOwn(attachments, last))
      rest.add(path)
    else {
      paths.push(names)
      if (names.length > 0) rest.add(names.join('.'))
    }
  }
  return { rest: [...rest], paths }
}

/** Yields the entities at a path, through references and loaded collections. */
function* walkPath(
  entities: readonly unknown[],
  [name, ...path]: readonly string[],
): Iterable<object> {
  for (const entity of entities) {
    if (!isObject(entity)) continue
    if (name === undefined) yield entity
    else yield* walkPath(relatedAt(entity[name]), path)
  }
}

function relatedAt(value: unknown): readonly unknown[] {
  if (hasMethod(value, 'getItems')) {
    const isLoaded = !hasMethod(value, 'isInitialized') || value.isInitialized() !== false
    return isLoaded ? toList(value.getItems()) : []
  }
  return [hasMethod(value, 'unwrap') ? value.unwrap() : value]
}

/**
 * Lists the entities in the result of a find: one, many, many and their number, or a cursor with
 * `items`.
 */
function entitiesIn(result: unknown): object[] {
  const items = isObject(result) ? result['items'] : undefined
  return toList(items ?? result)
    .flat()
    .filter(isObject)
}

const isEntityName = (value: unknown): value is EntityName<object> =>
  isConstructor(value) || (isObject(value) && isObject(value['meta']))

/**
 * Runs a find whose `populate` may name attachments, also those of related entities. They are read
 * in two statements for each class. `find` is MikroORM's own, with the `populate` for it.
 */
async function findWithPopulate(
  em: EntityManager,
  type: unknown,
  populate: unknown,
  find: (populate: unknown) => Promise<unknown>,
): Promise<unknown> {
  const meta =
    Array.isArray(populate) && isEntityName(type) ? em.getMetadata().find(type) : undefined
  if (!Array.isArray(populate) || meta === undefined) return find(populate)
  const { rest, paths } = splitPopulate(meta, populate)
  if (paths.length === 0) return find(populate)
  const result = await find(rest)
  const entities = paths.flatMap((path) => [...walkPath(entitiesIn(result), path)])
  for (const { constructor } of entities) refuseUnbound(em, constructor)
  const context = em.getContext()
  await preload(entities, context.isInTransaction() ? context : undefined)
  return result
}

/**
 * Copies a list with another value at one place, also if the list is too short to have that place.
 */
function replaceAt(list: readonly unknown[], place: number, value: unknown): readonly unknown[] {
  const copy = [...list]
  copy[place] = value
  return copy
}

/**
 * Patches the finds of all managers for `populate: ['photo']`, and `em.populate(users, ['photo'])`.
 */
export function patchFinds(prototype: EntityManager): void {
  for (const [name, place] of [
    ['find', 2],
    ['findOne', 2],
    ['findAndCount', 2],
    ['findByCursor', 1],
  ] as const)
    patchMethod(
      prototype,
      name,
      (original) =>
        function (...given) {
          const options = isObject(given[place]) ? given[place] : {}
          return findWithPopulate(this, given[0], options['populate'], async (populate) => {
            const result = await Reflect.apply(
              original,
              this,
              populate === undefined ? given : replaceAt(given, place, { ...options, populate }),
            )
            // An entity that the manager had already keeps what was preloaded before.
            for (const entity of entitiesIn(result)) forgetPreloaded(entity)
            return result
          })
        },
    )
  patchMethod(
    prototype,
    'populate',
    (original) =>
      function (...given) {
        const [entities, paths] = given
        const [first] = toList(entities)
        return isObject(first)
          ? findWithPopulate(this, first.constructor, paths, async (rest) =>
              Reflect.apply(original, this, replaceAt(given, 1, rest)),
            )
          : Reflect.apply(original, this, given)
      },
  )
}
