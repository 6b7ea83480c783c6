import type { DataSource, EntityMetadata, ObjectLiteral } from 'typeorm'
import type { RecordSource } from '../../database/database.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { takeFilesFromProperties } from '../pending-files.ts'
import { refuseHidingFieldsOfClass } from '../reserved-members.ts'
import { toRecordId, type RecordId } from '../record-id.ts'
import { assertOneTable } from '../assert-one-table.ts'
import { definitionsOf } from '../with-attachments.ts'

const metadataByClass = new WeakMap<object, EntityMetadata>()

/** Of an initialized data source: what tells the id of an entity. Throws ConfigurationError for what cannot have attachments as it is. */
export function registerEntities({ entityMetadatas }: DataSource): void {
  const ofAttachments = new Map<object, EntityMetadata>()
  for (const metadata of entityMetadatas) {
    const { target } = metadata
    if (typeof target !== 'function') continue
    metadataByClass.set(target, metadata)
    const attachments = definitionsOf(target)
    if (attachments === null) continue
    refuseCompositeKey(metadata)
    assertOneTable(
      [ofAttachments.get(attachments) ?? metadata, metadata],
      ({ name, tablePath }) => ({
        name,
        table: tablePath,
      }),
    )
    ofAttachments.set(attachments, metadata)
    refuseHidingFieldsOfClass(target as new () => object, Object.keys(attachments))
  }
}

/** A row of attachments has one column for the record's id: one of several columns would tell another record too. */
function refuseCompositeKey({ name, primaryColumns }: EntityMetadata): void {
  if (primaryColumns.length <= 1) return
  const columns = primaryColumns.map(({ propertyName }) => propertyName).join(', ')
  throw new ConfigurationError(
    `${name} has attachments, and a primary key of several columns (${columns}): records with attachments are told by one. Give it one, and a unique index on these.`,
  )
}

/** null: it has none yet. */
export function idOf(
  entity: object,
  metadata: EntityMetadata | undefined = metadataByClass.get(entity.constructor),
): RecordId | null {
  const [column, another] = metadata?.primaryColumns ?? []
  if (another !== undefined) return null
  return toRecordId(
    column === undefined ? (entity as { id?: unknown }).id : column.getEntityValue(entity),
  )
}

/** An entity, or a literal that is saved as one, with attachments. */
export interface FoundEntity {
  readonly entity: object
  readonly metadata: EntityMetadata
  readonly attachments: object
}

/** Those that a call with `roots` reaches, by what it cascades to. What they hold as properties counts as assigned from now on. */
export function findReachableEntities(
  dataSource: DataSource,
  target: unknown,
  roots: readonly unknown[],
  by: 'remove' | 'save' = 'save',
): FoundEntity[] {
  const found: FoundEntity[] = []
  const seen = new Set<unknown>()
  const visit = (entity: unknown, given: unknown): void => {
    if (typeof entity !== 'object' || entity === null || seen.has(entity)) return
    seen.add(entity)
    const own = entity.constructor === Object ? given : entity.constructor
    if (!dataSource.hasMetadata(own as never)) return
    const metadata = dataSource.getMetadata(own as never)
    const attachments =
      typeof metadata.target === 'function' ? definitionsOf(metadata.target) : null
    if (attachments !== null) {
      takeFilesFromProperties(Object.keys(attachments), entity)
      found.push({ entity, metadata, attachments })
    }
    for (const relation of metadata.relations) {
      if (
        by === 'remove'
          ? !relation.isCascadeRemove
          : !relation.isCascadeInsert && !relation.isCascadeUpdate
      )
        continue
      const value: unknown = relation.getEntityValue(entity as ObjectLiteral)
      for (const each of Array.isArray(value) ? (value as unknown[]) : [value])
        visit(each, relation.inverseEntityMetadata.target)
    }
  }
  for (const root of roots) visit(root, target)
  return found
}

/** The records of the class that has these attachments, and of those that extend it in one table. */
export function createRecordSource(
  dataSource: DataSource,
  attachments: object,
): RecordSource | null {
  const all = dataSource.entityMetadatas.filter(
    ({ target }) => typeof target === 'function' && definitionsOf(target) === attachments,
  )
  const base = all.find(
    ({ parentEntityMetadata: parent }) => parent === undefined || !all.includes(parent),
  )
  const key = base?.primaryColumns[0]?.propertyName
  if (base === undefined || key === undefined) return null
  const changed = base.updateDateColumn?.propertyName
  return {
    // What is only marked as deleted can be recovered, with its files.
    async find(id) {
      // A replica may not know it yet, and its files would be taken for those of nobody.
      const runner = dataSource.createQueryRunner('master')
      try {
        return await runner.manager.findOne<ObjectLiteral>(base.target, {
          where: { [key]: id },
          withDeleted: true,
        })
      } finally {
        await runner.release()
      }
    },
    hasMethod: (method) =>
      all.some(
        ({ target }) =>
          typeof (target as { prototype: Record<string, unknown> }).prototype[method] ===
          'function',
      ),
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
