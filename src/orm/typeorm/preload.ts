import type { EntityManager, EntityMetadata } from 'typeorm'
import { isObject, toList } from '../object-guards.ts'
import { preload } from '../preload.ts'
import { definitionsOf } from '../with-attachments.ts'
import { isBound, unboundError } from './bind.ts'
import { attachmentsOf, findMetadata } from './records.ts'

type Relations = Readonly<Record<string, unknown>>

interface SplitRelations {
  /** The relations without the attachments among them, which TypeORM does not know. */
  readonly relations: Relations
  /** The attachments objects of the entities whose attachments are named. */
  readonly found: ReadonlySet<object>
}

function splitRelations(
  metadata: EntityMetadata,
  given: Relations,
  found: Set<object> = new Set(),
): SplitRelations {
  const attachments = attachmentsOf(metadata)
  const relations: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(given)) {
    if (attachments !== null && Object.hasOwn(attachments, name)) {
      if (value !== false && value !== undefined) found.add(attachments)
      continue
    }
    const inner = metadata.findRelationWithPropertyPath(name)?.inverseEntityMetadata
    relations[name] =
      isObject(value) && inner !== undefined ? splitRelations(inner, value, found).relations : value
  }
  return { relations, found }
}

/** Converts relations in the form of paths, `['photo', 'author.photo']`, to an object. */
function pathsToRelations(paths: readonly unknown[]): Relations {
  const relations: Record<string, unknown> = {}
  for (const path of paths) {
    let at = relations
    for (const name of String(path).split('.')) {
      const inner: Record<string, unknown> = isObject(at[name]) ? at[name] : {}
      at[name] = inner
      at = inner
    }
  }
  return relations
}

/** Collects entities, and the related entities that were read with them. */
function collectEntities(
  metadata: EntityMetadata,
  entities: readonly unknown[],
  seen: Set<object> = new Set(),
): ReadonlySet<object> {
  for (const entity of entities) {
    if (!isObject(entity) || seen.has(entity)) continue
    seen.add(entity)
    for (const relation of metadata.relations)
      collectEntities(relation.inverseEntityMetadata, toList(relation.getEntityValue(entity)), seen)
  }
  return seen
}

/**
 * Runs a find whose `relations` may name attachments, also those of related entities. They are read
 * in two statements for each class. `find` is TypeORM's own, with the options for it.
 */
export async function findWithRelations(
  manager: EntityManager,
  target: unknown,
  options: unknown,
  find: (options: unknown) => Promise<unknown>,
): Promise<unknown> {
  const { dataSource } = manager
  const given = isObject(options) ? options['relations'] : undefined
  const metadata = isObject(given) ? findMetadata(dataSource, target) : null
  if (!isObject(options) || !isObject(given) || metadata === null) return find(options)
  const { relations, found } = splitRelations(
    metadata,
    Array.isArray(given) ? pathsToRelations(given) : given,
  )
  if (found.size > 0 && !isBound(dataSource)) throw unboundError(metadata)
  const result = await find({
    ...options,
    relations: found.size === 0 && Array.isArray(given) ? given : relations,
  })
  if (found.size === 0) return result
  // findAndCount returns a list of the entities and their number.
  const entities = [...collectEntities(metadata, toList(result).flat())].filter((entity) =>
    found.has(definitionsOf(entity) ?? entity),
  )
  await preload(entities, manager.queryRunner?.isTransactionActive === true ? manager : undefined)
  return result
}
