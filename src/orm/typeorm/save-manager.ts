import { EntityManager, type DataSource, type QueryRunner } from 'typeorm'
import { hasPendingFiles, refuseFiles, stagePendingFiles } from '../pending-files.ts'
import { requireModel } from '../model-registry.ts'
import { copyPendingFiles } from '../copy-pending-files.ts'
import { saveAndFinish } from '../save-and-finish.ts'
import { definitionsOf } from '../with-attachments.ts'
import { isBound, needsStorage, refuseUnbound } from './bind.ts'
import { findReachableEntities, type FoundEntity } from './records.ts'
import { findWithRelations } from './preload.ts'
import { noTransactionError, submitFiles } from './save-subscriber.ts'
import { levelOf, runOwnTransaction } from './transactions.ts'

const isTarget = (given: unknown): boolean =>
  typeof given === 'function' ||
  typeof given === 'string' ||
  (given as { '@instanceof'?: unknown } | null)?.['@instanceof'] !== undefined

/** What `save` and `remove` take: entities, after what they are, where that is said. */
function readSaveArguments(given: readonly unknown[]): {
  readonly target: unknown
  readonly roots: readonly unknown[]
  readonly options: unknown
} {
  const [target, entity, options] =
    given.length > 1 && isTarget(given[0]) ? given : [undefined, ...given]
  return { target, roots: [entity].flat(), options }
}

/** A verb of TypeORM's own. */
type OriginalMethod = (given: readonly unknown[], on?: EntityManager) => unknown
type PatchedMethod = (
  manager: EntityManager,
  given: readonly unknown[],
  plain: OriginalMethod,
) => unknown

const findAndPreload: PatchedMethod = (manager, [target, options], plain) =>
  findWithRelations(
    manager,
    target,
    options as never,
    (rest) => plain([target, rest]) as Promise<unknown>,
  )

const createRefusingMethod =
  (verb: 'insert' | 'update' | 'upsert'): PatchedMethod =>
  async (manager, given, plain) => {
    refuseBypassedFiles(manager, verb, given[0], given[verb === 'update' ? 2 : 1])
    return plain(given)
  }

const patchedMethods: Readonly<Record<string, PatchedMethod>> = {
  find: findAndPreload,
  findOne: findAndPreload,
  findAndCount: findAndPreload,
  insert: createRefusingMethod('insert'),
  upsert: createRefusingMethod('upsert'),
  update: createRefusingMethod('update'),
  create(_, given, plain) {
    const made = plain(given)
    const values = [given[1]].flat()
    for (const [index, each] of [made].flat().entries()) copyPendingFiles(values[index], each)
    return made
  },
  merge(_, given, plain) {
    const merged = plain(given)
    for (const each of given.slice(2)) copyPendingFiles(each, merged)
    return merged
  },
  async preload(_, given, plain) {
    const loaded = await plain(given)
    copyPendingFiles(given[1], loaded)
    return loaded
  },
  async save(manager, given, plain) {
    const { target, roots, options } = readSaveArguments(given)
    return saveWithFiles(
      manager,
      findReachable(manager, target, roots),
      options,
      (on) => plain(given, on) as Promise<unknown>,
    )
  },
  async remove(manager, given, plain) {
    const { target, roots } = readSaveArguments(given)
    const [first] = isBound(manager.dataSource)
      ? []
      : findReachable(manager, target, roots, 'remove')
    if (first !== undefined) refuseUnbound(first)
    return plain(given)
  },
}

const patchedPrototypes = new WeakSet<object>()

/**
 * What reaches entities through a manager: nothing of their files is dropped on the way. Managers of all data sources pass here,
 * so that one which was not bound is noticed.
 */
export function patchManager(prototype: object = EntityManager.prototype): void {
  if (patchedPrototypes.has(prototype)) return
  patchedPrototypes.add(prototype)
  for (const [verb, bring] of Object.entries(patchedMethods)) {
    const plain = (prototype as Record<string, (...given: unknown[]) => unknown>)[verb]!
    Object.defineProperty(prototype, verb, {
      configurable: true,
      writable: true,
      value(this: EntityManager, ...given: unknown[]) {
        return bring(this, given, (rest, on = this) => plain.apply(on, [...rest]))
      },
    })
  }
}

/** The prototype that its manager shares with all others; of another copy of TypeORM, that is not ours. */
export function patchManagerOf({ manager }: DataSource): void {
  let at: object = manager
  while ('save' in (Object.getPrototypeOf(at) as object)) at = Object.getPrototypeOf(at) as object
  patchManager(at)
}

function findReachable(
  manager: EntityManager,
  target: unknown,
  roots: readonly unknown[],
  by?: 'remove',
): FoundEntity[] {
  const { dataSource } = manager
  return dataSource.isInitialized ? findReachableEntities(dataSource, target, roots, by) : []
}

/** In one transaction with what is saved: the one that is open, or one of its own. */
async function saveWithFiles(
  manager: EntityManager,
  found: readonly FoundEntity[],
  options: unknown,
  save: (on: EntityManager) => Promise<unknown>,
): Promise<unknown> {
  const unknown = isBound(manager.dataSource) ? undefined : found.find(needsStorage)
  if (unknown !== undefined) refuseUnbound(unknown)
  const bringers = found.filter(({ entity }) => hasPendingFiles(entity))
  const [first] = bringers
  if (first === undefined) return save(manager)
  const within = async (on: EntityManager): Promise<unknown> => {
    const saved = await save(on)
    // What was inserted has submitted its files by itself; of what did not change, TypeORM tells nobody.
    for (const each of bringers) await submitFiles(each, on.queryRunner as QueryRunner, false)
    return saved
  }
  if (manager.queryRunner?.isTransactionActive === true) return within(manager)
  if ((options as { transaction?: boolean } | undefined)?.transaction === false)
    throw noTransactionError(
      requireModel(first.attachments).type,
      'save with { transaction: false }',
    )
  for (const { entity, attachments } of bringers)
    await stagePendingFiles(requireModel(attachments), entity)
  return saveAndFinish((begun) =>
    runOwnTransaction(manager, (on) => {
      begun(levelOf(on.queryRunner as QueryRunner)?.chain[0])
      return within(on)
    }),
  )
}

function refuseBypassedFiles(
  manager: EntityManager,
  verb: 'insert' | 'update' | 'upsert',
  target: unknown,
  values: unknown,
): void {
  const { dataSource } = manager
  const metadata = dataSource.hasMetadata(target as never)
    ? dataSource.getMetadata(target as never)
    : null
  const attachments = typeof metadata?.target === 'function' ? definitionsOf(metadata.target) : null
  if (metadata === null || attachments === null) return
  if (verb !== 'update' && !isBound(dataSource) && needsStorage({ entity: {}, attachments }))
    refuseUnbound({ metadata })
  refuseFiles(`${verb}()`, attachments, values, 'save()')
}
