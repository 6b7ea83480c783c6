import { EntityManager, type DataSource, type QueryRunner } from 'typeorm'
import { hasAssigned, refuseFiles, stageAssigned } from '../assigned.ts'
import { boundModel } from '../bound.ts'
import { copyAssigned } from '../copy-assigned.ts'
import { saveAndFinish } from '../save-and-finish.ts'
import { attachmentsOf } from '../with-attachments.ts'
import { isBound, isWithFiles, refuseUnbound } from './data-sources.ts'
import { reachable, type Found } from './entities.ts'
import { ownTransaction } from './own-transaction.ts'
import { withRelations } from './relations.ts'
import { noTransaction, submit } from './saving.ts'
import { chainOf } from './transactions.ts'

const isTarget = (given: unknown): boolean =>
  typeof given === 'function' ||
  typeof given === 'string' ||
  (given as { '@instanceof'?: unknown } | null)?.['@instanceof'] !== undefined

/** What `save` and `remove` take: entities, after what they are, where that is said. */
function rootsOf(given: readonly unknown[]): {
  readonly target: unknown
  readonly roots: readonly unknown[]
  readonly options: unknown
} {
  const [target, entity, options] =
    given.length > 1 && isTarget(given[0]) ? given : [undefined, ...given]
  return { target, roots: [entity].flat(), options }
}

/** A verb of TypeORM's own. */
type Plain = (given: readonly unknown[], on?: EntityManager) => unknown
type Verb = (manager: EntityManager, given: readonly unknown[], plain: Plain) => unknown

const find: Verb = (manager, [target, options], plain) =>
  withRelations(
    manager,
    target,
    options as never,
    (rest) => plain([target, rest]) as Promise<unknown>,
  )

const refusing =
  (verb: 'insert' | 'update' | 'upsert'): Verb =>
  async (manager, given, plain) => {
    refuse(manager, verb, given[0], given[verb === 'update' ? 2 : 1])
    return plain(given)
  }

const verbs: Readonly<Record<string, Verb>> = {
  find,
  findOne: find,
  findAndCount: find,
  insert: refusing('insert'),
  upsert: refusing('upsert'),
  update: refusing('update'),
  create(_, given, plain) {
    const made = plain(given)
    const values = [given[1]].flat()
    for (const [index, each] of [made].flat().entries()) copyAssigned(values[index], each)
    return made
  },
  merge(_, given, plain) {
    const merged = plain(given)
    for (const each of given.slice(2)) copyAssigned(each, merged)
    return merged
  },
  async preload(_, given, plain) {
    const loaded = await plain(given)
    copyAssigned(given[1], loaded)
    return loaded
  },
  async save(manager, given, plain) {
    const { target, roots, options } = rootsOf(given)
    return saveWith(
      manager,
      reached(manager, target, roots),
      options,
      (on) => plain(given, on) as Promise<unknown>,
    )
  },
  async remove(manager, given, plain) {
    const { target, roots } = rootsOf(given)
    const [first] = isBound(manager.dataSource) ? [] : reached(manager, target, roots, 'remove')
    if (first !== undefined) refuseUnbound(first)
    return plain(given)
  },
}

const patched = new WeakSet<object>()

/**
 * What reaches entities through a manager: nothing of their files is dropped on the way. Managers of all data sources pass here,
 * so that one which was not bound is noticed.
 */
export function bringFiles(prototype: object = EntityManager.prototype): void {
  if (patched.has(prototype)) return
  patched.add(prototype)
  for (const [verb, bring] of Object.entries(verbs)) {
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
export function bringFilesOf({ manager }: DataSource): void {
  let at: object = manager
  while ('save' in (Object.getPrototypeOf(at) as object)) at = Object.getPrototypeOf(at) as object
  bringFiles(at)
}

function reached(
  manager: EntityManager,
  target: unknown,
  roots: readonly unknown[],
  by?: 'remove',
): Found[] {
  const { dataSource } = manager
  return dataSource.isInitialized ? reachable(dataSource, target, roots, by) : []
}

/** In one transaction with what is saved: the one that is open, or one of its own. */
async function saveWith(
  manager: EntityManager,
  found: readonly Found[],
  options: unknown,
  save: (on: EntityManager) => Promise<unknown>,
): Promise<unknown> {
  const unknown = isBound(manager.dataSource) ? undefined : found.find(isWithFiles)
  if (unknown !== undefined) refuseUnbound(unknown)
  const bringers = found.filter(({ entity }) => hasAssigned(entity))
  const [first] = bringers
  if (first === undefined) return save(manager)
  const within = async (on: EntityManager): Promise<unknown> => {
    const saved = await save(on)
    // What was inserted has submitted its files by itself; of what did not change, TypeORM tells nobody.
    for (const each of bringers) await submit(each, on.queryRunner as QueryRunner, false)
    return saved
  }
  if (manager.queryRunner?.isTransactionActive === true) return within(manager)
  if ((options as { transaction?: boolean } | undefined)?.transaction === false)
    throw noTransaction(boundModel(first.attachments).type, 'save with { transaction: false }')
  for (const { entity, attachments } of bringers)
    await stageAssigned(boundModel(attachments), entity)
  return saveAndFinish((begun) =>
    ownTransaction(manager, (on) => {
      begun(chainOf(on.queryRunner as QueryRunner)[0])
      return within(on)
    }),
  )
}

function refuse(
  manager: EntityManager,
  verb: 'insert' | 'update' | 'upsert',
  target: unknown,
  values: unknown,
): void {
  const { dataSource } = manager
  const metadata = dataSource.hasMetadata(target as never)
    ? dataSource.getMetadata(target as never)
    : null
  const attachments = typeof metadata?.target === 'function' ? attachmentsOf(metadata.target) : null
  if (metadata === null || attachments === null) return
  if (verb !== 'update' && !isBound(dataSource) && isWithFiles({ entity: {}, attachments }))
    refuseUnbound({ metadata })
  refuseFiles(`${verb}()`, attachments, values, 'save()')
}
