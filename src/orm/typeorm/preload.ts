import type { EntityManager, EntityMetadata, ObjectLiteral } from 'typeorm'
import { preload } from '../preload.ts'
import { definitionsOf } from '../with-attachments.ts'
import { isBound, refuseUnbound } from './bind.ts'

type Relations = Readonly<Record<string, unknown>>
interface OptionsWithRelations {
  readonly relations?: Relations | readonly string[]
}

/** `relations` without the attachments among them, which TypeORM does not know, and whose they are. */
interface SplitRelations {
  readonly relations: Relations
  readonly found: ReadonlySet<object>
}

function splitRelations(
  metadata: EntityMetadata,
  given: Relations,
  found: Set<object> = new Set(),
): SplitRelations {
  const attachments = typeof metadata.target === 'function' ? definitionsOf(metadata.target) : null
  const relations: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(given)) {
    if (attachments !== null && Object.hasOwn(attachments, name)) {
      if (value !== false && value !== undefined) found.add(attachments)
      continue
    }
    const inner = metadata.findRelationWithPropertyPath(name)?.inverseEntityMetadata
    const isNested = typeof value === 'object' && value !== null && inner !== undefined
    relations[name] = isNested ? splitRelations(inner, value as Relations, found).relations : value
  }
  return { relations, found }
}

/** `['photo', 'author.photo']` as an object. */
function pathsToRelations(paths: readonly string[]): Relations {
  const relations: Record<string, unknown> = {}
  for (const path of paths) {
    let at = relations
    for (const name of path.split('.')) at = (at[name] ??= {}) as Record<string, unknown>
  }
  return relations
}

/** Entities, and those that were read with them. */
function collectEntities(
  metadata: EntityMetadata,
  entities: readonly unknown[],
  seen: Set<object> = new Set(),
): ReadonlySet<object> {
  for (const entity of entities) {
    if (typeof entity !== 'object' || entity === null || seen.has(entity)) continue
    seen.add(entity)
    for (const relation of metadata.relations)
      collectEntities(
        relation.inverseEntityMetadata,
        [relation.getEntityValue(entity as ObjectLiteral) as unknown].flat(),
        seen,
      )
  }
  return seen
}

/** A find whose `relations` name attachments, also those of related entities: they are read in two statements for each entity. */
export async function findWithRelations(
  manager: EntityManager,
  target: unknown,
  options: OptionsWithRelations | undefined,
  find: (options: OptionsWithRelations | undefined) => Promise<unknown>,
): Promise<unknown> {
  const { dataSource } = manager
  if (options?.relations === undefined || !dataSource.hasMetadata(target as never))
    return find(options)
  const metadata = dataSource.getMetadata(target as never)
  const given = options.relations
  const { relations, found } = splitRelations(
    metadata,
    Array.isArray(given) ? pathsToRelations(given as string[]) : (given as Relations),
  )
  if (found.size > 0 && !isBound(dataSource)) refuseUnbound({ metadata })
  const result = await find({
    ...options,
    relations: found.size === 0 && Array.isArray(given) ? given : relations,
  })
  if (found.size === 0) return result
  const entities = [...collectEntities(metadata, [result].flat(2))].filter((entity) =>
    found.has(definitionsOf(entity) ?? entity),
  )
  await preload(entities, manager.queryRunner?.isTransactionActive === true ? manager : undefined)
  return result
}
