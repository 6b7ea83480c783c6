import type { DataSource, EntityMetadata, EntityTarget, ObjectLiteral } from 'typeorm'
import type { RecordSource } from '../../database/database.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { assertOneTable } from '../assert-one-table.ts'
import { hasMethod, isConstructor, isObject, toList } from '../object-guards.ts'
import { takeFilesFromProperties } from '../assigned-files.ts'
import { toRecordId, type RecordId } from '../record-id.ts'
import { refuseHidingFieldsOfClass } from '../reserved-members.ts'
import { definitionsOf } from '../with-attachments.ts'
import { isMarkedInstance } from './internals.ts'

const metadataByClass = new WeakMap<object, EntityMetadata>()

/**
 * Remembers the metadata of each entity of an initialized data source, which knows the primary key.
 * Throws ConfigurationError for an entity that cannot have attachments as it is.
 */
export function registerEntities({ entityMetadatas }: DataSource): void {
  const byAttachments = new Map<object, EntityMetadata>()
  for (const metadata of entityMetadatas) {
    const { target } = metadata
    if (typeof target !== 'function') continue
    metadataByClass.set(target, metadata)
    const attachments = definitionsOf(target)
    if (attachments === null) continue
    refuseCompositeKey(metadata)
    assertOneTable(
      [byAttachments.get(attachments) ?? metadata, metadata],
      ({ name, tablePath }) => ({ name, table: tablePath }),
    )
    byAttachments.set(attachments, metadata)
    if (isConstructor(target)) refuseHidingFieldsOfClass(target, Object.keys(attachments))
  }
}

/**
 * Throws ConfigurationError for a key of several columns: a row of attachments has one column for
 * the record's id, and one column of the key would be the id of other records too.
 */
function refuseCompositeKey({ name, primaryColumns }: EntityMetadata): void {
  if (primaryColumns.length <= 1) return
  const columns = primaryColumns.map(({ propertyName }) => propertyName).join(', ')
  throw new ConfigurationError(
    `${name} has attachments, and a primary key of several columns (${columns}). Give it a key of one column, and a unique index on these.`,
  )
}

/** Reads the primary key of an entity. null: it has none yet, or one of several columns. */
export function idOf(
  entity: object,
  metadata: EntityMetadata | undefined = metadataByClass.get(entity.constructor),
): RecordId | null {
  const [column, another] = metadata?.primaryColumns ?? []
  if (another !== undefined || !isObject(entity)) return null
  return toRecordId(column === undefined ? entity['id'] : column.getEntityValue(entity))
}

const isEntityTarget = (value: unknown): value is EntityTarget<ObjectLiteral> =>
  typeof value === 'function' ||
  typeof value === 'string' ||
  isMarkedInstance(value) ||
  (isObject(value) && 'type' in value && typeof value['name'] === 'string')

/** Finds the metadata of a class, a name or a schema. null: the data source does not have it. */
export const findMetadata = (dataSource: DataSource, target: unknown): EntityMetadata | null =>
  isEntityTarget(target) && dataSource.hasMetadata(target) ? dataSource.getMetadata(target) : null

/** Finds the attachments of an entity's class. null: it has none. */
export const attachmentsOf = ({ target }: EntityMetadata): object | null =>
  typeof target === 'function' ? definitionsOf(target) : null

/** An entity with attachments, or a literal that is saved as one. */
export interface FoundEntity {
  readonly entity: object
  readonly metadata: EntityMetadata
  readonly attachments: object
}

/**
 * Finds the entities with attachments that a save or a remove of `roots` reaches by its cascades.
 * Files that they have as properties are assigned to them. `target` is what the roots are, where
 * the call says it.
 */
export function findReachableEntities(
  dataSource: DataSource,
  target: unknown,
  roots: readonly unknown[],
  by: 'remove' | 'save' = 'save',
): FoundEntity[] {
  const found: FoundEntity[] = []
  const seen = new Set<unknown>()
  const visit = (entity: unknown, givenTarget: unknown): void => {
    if (!isObject(entity) || seen.has(entity)) return
    seen.add(entity)
    const own = entity.constructor === Object ? givenTarget : entity.constructor
    const metadata = findMetadata(dataSource, own)
    if (metadata === null) return
    const attachments = attachmentsOf(metadata)
    if (attachments !== null) {
      takeFilesFromProperties(Object.keys(attachments), entity)
      found.push({ entity, metadata, attachments })
    }
    for (const relation of metadata.relations) {
      const isFollowed =
        by === 'remove'
          ? relation.isCascadeRemove
          : relation.isCascadeInsert || relation.isCascadeUpdate
      if (!isFollowed) continue
      for (const each of toList(relation.getEntityValue(entity)))
        visit(each, relation.inverseEntityMetadata.target)
    }
  }
  for (const root of roots) visit(root, target)
  return found
}

/**
 * Finds the records of the class that has these attachments, and of the classes that extend it in
 * one table. null: the data source has no such class, or its key is not one column.
 */
export function createRecordSource(
  dataSource: DataSource,
  attachments: object,
): RecordSource | null {
  const all = dataSource.entityMetadatas.filter(
    (metadata) => attachmentsOf(metadata) === attachments,
  )
  const base = all.find(
    ({ parentEntityMetadata: parent }) => parent === undefined || !all.includes(parent),
  )
  const key = base?.primaryColumns[0]?.propertyName
  if (base === undefined || key === undefined) return null
  const changed = base.updateDateColumn?.propertyName
  return {
    async find(id) {
      // The master is read, because a replica may not have the record yet, and its files would
      // count as those of a deleted record.
      const runner = dataSource.createQueryRunner('master')
      try {
        return await runner.manager.findOne<ObjectLiteral>(base.target, {
          where: { [key]: id },
          // A record that is only marked as deleted can be recovered, with its files.
          withDeleted: true,
        })
      } finally {
        await runner.release()
      }
    },
    hasMethod: (method) =>
      all.some(({ target }) => typeof target === 'function' && hasMethod(target.prototype, method)),
    async touch(id) {
      if (changed !== undefined)
        await dataSource.manager.update(
          base.target,
          { [key]: id },
          { [changed]: () => 'CURRENT_TIMESTAMP' },
        )
    },
  }
}
